"""How it is run: the runner asks the launcher, the launcher a server, and the server starts one process a job."""
