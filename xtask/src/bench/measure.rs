//! What a phase of a run took: calls, requests, and the memory and CPU time of another process, as Linux accounts for
//! them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::ClockId;
use nix::unistd::Pid;

/// Memory in MiB and CPU seconds so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Resident now.
    pub(super) resident: f64,
    /// The most that was ever resident.
    pub(super) peak: f64,
    /// User and system time, in seconds.
    pub(super) cpu: f64,
}

pub(super) fn usage(pid: u32) -> Result<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the operator is gone")?;
    let kibibytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().trim_end_matches(" kB").parse::<f64>().ok()
    };
    // In nanoseconds, where /proc/<pid>/stat counts hundredths of a second: as much as creating ten pairs takes.
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.try_into()?)).context("the operator is gone")?;
    Ok(Usage {
        resident: kibibytes("VmRSS:").unwrap_or_default() / 1024.0,
        peak: kibibytes("VmHWM:").unwrap_or_default() / 1024.0,
        cpu: Duration::from(clock.now()?).as_secs_f64(),
    })
}

/// What one phase took.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase {
    /// Calls to IAM by action.
    pub(super) calls: BTreeMap<String, u64>,
    /// Requests of the operator to the API server by verb; watches and events aside.
    pub(super) requests: BTreeMap<String, u64>,
    /// Wall-clock time.
    pub(super) took: Duration,
    /// CPU seconds of the operator.
    pub(super) cpu: f64,
    /// Reconciles that ended.
    pub(super) reconciles: f64,
    /// Memory after the phase.
    pub(super) usage: Usage,
}

impl Phase {
    /// Calls in all, the operator's own identity aside.
    pub(super) fn total(&self) -> u64 {
        self.calls.iter().filter(|(action, _)| *action != "GetCallerIdentity").map(|(_, count)| count).sum()
    }

    /// Writes to Kubernetes.
    pub(super) fn kubernetes_writes(&self) -> u64 {
        self.requests
            .iter()
            .filter(|(verb, _)| ["create", "update", "patch", "delete"].contains(&verb.as_str()))
            .map(|(_, count)| count)
            .sum()
    }
}
