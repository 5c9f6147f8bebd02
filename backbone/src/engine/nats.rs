//! nats-server: one per region; the us server dials the eu one as its leaf, through the link, so a status published in one region reaches both.

use anyhow::Result;
use ids::Region;

use super::Context;
use crate::{
    home::write_atomically,
    plan::{Part, Place},
    process::Launch,
};

/// Writes the configuration.
///
/// # Errors
/// When it cannot be written.
pub(super) fn prepare(context: &Context, part: &Part) -> Result<()> {
    let ports = context.plan.ports;
    let leaf = match part.place {
        Place::In(Region::Us) => {
            let link = ports.across(Region::Us, "nats");
            format!("leafnodes {{ reconnect: 1, remotes: [ {{ url: \"nats-leaf://127.0.0.1:{link}\" }} ] }}")
        }
        _ => format!("leafnodes {{ host: 127.0.0.1, port: {} }}", ports.nats(Region::Eu).1),
    };
    // No JetStream: what must not be lost goes through Kafka; NATS carries the news to whoever watches right now.
    let text = format!("server_name: market-{}\nhost: 127.0.0.1\nport: {}\nmax_payload: 64KB\n{leaf}\n", part.place, part.port());
    write_atomically(&context.home.config(part), 0o644, text.as_bytes())
}

pub(super) fn launch(context: &Context, part: &Part) -> Launch {
    Launch::new(context.installed.nats()).args(["--config".to_owned(), context.home.config(part).display().to_string()])
}
