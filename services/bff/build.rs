//! Puts the pages of `docs/errors/` into the binary, so that a problem's `type` can be read in the shop.

use std::{fmt::Write as _, path::Path};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Relative to where this runs, not to where it was compiled: two checkouts may share a target folder.
    let folder = Path::new("../../docs/errors").canonicalize()?;
    println!("cargo:rerun-if-changed=../../docs/errors");
    let mut pages: Vec<_> = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.sort();
    let mut table = "[\n".to_owned();
    for path in pages {
        let reason = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a reason is plain text")?;
        // The text and not its path: a checkout that shares the target folder may be gone by the next build.
        writeln!(table, "    ({reason:?}, {:?}),", std::fs::read_to_string(&path)?)?;
    }
    table.push_str("]\n");
    let out = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    std::fs::write(Path::new(&out).join("errors.rs"), table)?;
    Ok(())
}
