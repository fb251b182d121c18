//! Workloads, theory, measurement and report: how Synod compares its algorithms.
