"""One folder a backend. Each fulfils `tre.contracts.driver`; none knows another, the store, or a permit."""
