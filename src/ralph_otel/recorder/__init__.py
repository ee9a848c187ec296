"""From journals to signals: what follows them, what makes signals of them, and what is seen to beside.

recorder.py      the thread that follows, folds and records
following.py     the journals it follows
pipeline.py      providers, readers and exporters
sdk_logging.py   what the SDK logs, said once
housekeeping.py  every hour: the three below
recovery.py      runs that were killed get their end
marks.py, handover.py   what killed recorders had no time to send
retention.py     which journals are kept
"""
