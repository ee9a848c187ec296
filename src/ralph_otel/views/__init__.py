"""What a person looks at: a run as a report, a screen, a page. All of it is a fold over journals."""
