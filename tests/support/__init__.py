"""What tests of several modules use: waiting, hand-written journals, an OTLP receiver, hosts in other processes."""
