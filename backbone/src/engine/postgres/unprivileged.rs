//! Running as somebody else when we are root, as initdb and postgres demand.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
};

use anyhow::{Context as _, Result, bail};

use crate::process::Launch;

/// Whom to run as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nobody {
    uid: u32,
    gid: u32,
}

impl Nobody {
    /// `None` when we are not root, so nothing need be done.
    pub(super) fn when_root() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        let line = users.lines().find(|line| line.starts_with("nobody:")).context("there is no user 'nobody' to run postgres as")?;
        let mut ids = line.split(':').skip(2).map_while(|field| field.parse().ok());
        match (ids.next(), ids.next()) {
            (Some(uid), Some(gid)) => Ok(Some(Self { uid, gid })),
            _ => bail!("cannot read the line of 'nobody' in /etc/passwd"),
        }
    }

    pub(super) fn give(self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid)).with_context(|| format!("give {} to nobody", path.display()))
    }

    /// `program`, able to reach itself and `data` although a folder above them may be closed to other users, as `/root` is.
    pub(super) fn launch(self, program: &Path, data: &Path) -> Launch {
        let ids = [format!("--reuid={}", self.uid), format!("--regid={}", self.gid), "--clear-groups".to_owned()];
        let mut launch = Launch::new("setpriv").args(ids);
        if is_closed(program) || is_closed(data) {
            let capability = capability();
            launch = launch.args([format!("--inh-caps=+{capability}"), format!("--ambient-caps=+{capability}")]);
            // Without this, access(2), by which postgres looks for its own program, leaves the capability out.
            launch = launch.args(["--securebits=+no_setuid_fixup"]);
        }
        launch.args([program.display().to_string()])
    }
}

/// True when other users may not walk down to `path`.
fn is_closed(path: &Path) -> bool {
    path.ancestors().skip(1).any(|folder| fs::metadata(folder).is_ok_and(|meta| meta.mode() & 0o001 == 0))
}

/// The smallest capability we have that opens folders: to read and traverse, or, where a container has taken that away, to write too.
fn capability() -> &'static str {
    const DAC_READ_SEARCH: u64 = 1 << 2;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ours = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapPrm:")?.trim(), 16).ok());
    if ours.is_none_or(|ours| ours & DAC_READ_SEARCH != 0) { "dac_read_search" } else { "dac_override" }
}
