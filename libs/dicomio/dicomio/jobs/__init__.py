"""Long-running work over HTTP: a durable ledger, leases, workers that any replica may run, resumption."""
