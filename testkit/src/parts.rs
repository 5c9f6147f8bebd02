//! Where `backbone fetch` puts the engines.

use std::path::PathBuf;

const LOCK: &str = include_str!("../../backbone.lock");

/// Folder of an engine: `$BACKBONE_CACHE/<name>-<version>`, by default below `~/.cache/backbone/parts`.
///
/// # Panics
/// When it was not fetched.
#[expect(clippy::disallowed_methods, reason = "a tool: there is no service configuration to take this from")]
pub(crate) fn folder(name: &str) -> PathBuf {
    let set = |variable: &str| std::env::var(variable).ok().filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("BACKBONE_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("backbone/parts")))
        .or_else(|| Some(set("HOME")?.join(".cache/backbone/parts")))
        .expect("HOME, XDG_CACHE_HOME or BACKBONE_CACHE is set");
    let folder = cache.join(format!("{name}-{}", version(name)));
    assert!(folder.exists(), "{} is missing: run `backbone fetch` (or `make fetch`)", folder.display());
    folder
}

fn version(name: &str) -> String {
    let lock: toml::Table = LOCK.parse().expect("backbone.lock is TOML");
    lock[name]["version"].as_str().expect("each engine has a version").to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_come_from_the_lock_file() {
        assert!(super::version("postgresql").starts_with("18."));
    }
}
