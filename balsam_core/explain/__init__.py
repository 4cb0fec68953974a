"""Says in plain words why a job, a batch job or a launcher is where it is: facts in, sentences out."""
