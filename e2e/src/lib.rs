//! The end-to-end suite lives in `tests/e2e`: it starts two whole regions with the `backbone` CLI and drives them from outside only,
//! through the shop's API, a browser, `grpcurl` and `kcat`.
