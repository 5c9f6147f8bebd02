//! Settings of the payment provider simulator.

use std::{path::PathBuf, time::Duration};

use config::{Reader, Secret};

/// Settings of the payment provider simulator.
#[derive(Debug)]
pub struct Config {
    /// Where charges are kept; this process alone uses it.
    pub data_dir: PathBuf,
    /// Key of the webhooks' signatures: the bytes of this text.
    pub webhook_secret: Secret,
    /// How long the simulated shopper takes to approve a step-up, while no other time is set at run time.
    pub step_up_delay: Duration,
}

impl Config {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            data_dir: reader.parsed("DATA_DIR", ".backbone/data/global/psp"),
            webhook_secret: reader.secret("PSP_WEBHOOK_SECRET", "0123456789abcdef"),
            // Long enough to see the order wait, short enough for a demo.
            step_up_delay: reader.duration("PSP_STEP_UP_DELAY", "2s"),
        }
    }
}
