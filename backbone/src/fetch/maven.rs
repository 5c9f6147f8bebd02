//! PostgreSQL, Kafka and Debezium, from Maven repositories through `mvn`, so that mirrors and proxies set up for it are used.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    path::Path,
};

use anyhow::{Context, Result, bail};

use super::{
    lock::{Jar, Jars},
    mismatch, run, tree,
};

/// The jar is a zip with one `.txz` in it, the tree of a server.
pub(super) async fn postgresql(jar: Jar, work: &Path, target: &Path) -> Result<()> {
    let artifact = format!("-Dartifact={}", jar.coordinates);
    let output = format!("-DoutputDirectory={}", work.display());
    run("mvn", &["-q", "-B", "dependency:copy", &artifact, &output], &[], work).await?;
    let file = work.join(&jar.file);
    let target = target.to_owned();
    tokio::task::spawn_blocking(move || {
        let got = tree::sha256_of(&file)?;
        if got != jar.sha256 {
            return Err(mismatch(&jar.file, &jar.sha256, &got));
        }
        unpack(&file, &target)
    })
    .await?
}

fn unpack(jar: &Path, target: &Path) -> Result<()> {
    let mut zip = zip::ZipArchive::new(File::open(jar)?).context("open the jar")?;
    let Some(name) = zip.file_names().filter_map(Result::ok).find(|name| name.ends_with(".txz")).map(String::from) else {
        bail!("{} holds no .txz", jar.display());
    };
    let compressed = std::io::BufReader::new(zip.by_name(&name)?);
    let mut archive = tar::Archive::new(lzma_rust2::XzReader::new(compressed, true));
    archive.unpack(target).with_context(|| format!("unpack {name}"))
}

/// A Java program's own jars and all that they need.
pub(super) async fn jars(lock: &Jars, work: &Path, target: &Path) -> Result<()> {
    fs::write(work.join("pom.xml"), pom(&lock.dependencies)?).context("write pom.xml")?;
    let output = format!("-DoutputDirectory={}", target.display());
    run("mvn", &["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", &output], &[], work).await?;
    let (target, expected) = (target.to_owned(), lock.jars.clone());
    tokio::task::spawn_blocking(move || check_jars(&target, &expected)).await?
}

/// Exactly these files, each with its sum.
fn check_jars(folder: &Path, expected: &BTreeMap<String, String>) -> Result<()> {
    for (name, sum) in expected {
        let path = folder.join(name);
        if !path.exists() {
            bail!("{name} is in backbone.lock but was not downloaded: run `backbone fetch` again");
        }
        let got = tree::sha256_of(&path)?;
        if got != *sum {
            return Err(mismatch(name, sum, &got));
        }
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !expected.contains_key(&name) {
            bail!("{name} was downloaded but is not in backbone.lock: add it with its sha256 {}", tree::sha256_of(&entry.path())?);
        }
    }
    Ok(())
}

fn pom(dependencies: &[String]) -> Result<String> {
    let mut text = String::from(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>market</groupId><artifactId>part</artifactId><version>1</version><dependencies>",
    );
    for dependency in dependencies {
        let [group, artifact, version] = dependency.split(':').collect::<Vec<_>>()[..] else {
            bail!("backbone.lock: '{dependency}' is not group:artifact:version");
        };
        write!(text, "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>")?;
    }
    text.push_str("</dependencies></project>");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_missing_or_unknown_jar_is_refused_by_name() {
        let folder = std::env::temp_dir().join(format!("backbone-jars-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.jar"), "a").unwrap();
        let sum = tree::sha256(b"a");
        let expected = |name: &str, sum: &str| BTreeMap::from([(name.to_owned(), sum.to_owned())]);
        assert!(check_jars(&folder, &expected("a.jar", &sum)).is_ok());
        let wrong = check_jars(&folder, &expected("a.jar", "00")).unwrap_err().to_string();
        assert!(wrong.contains("a.jar") && wrong.contains("expected 00") && wrong.contains(&sum), "{wrong}");
        assert!(check_jars(&folder, &expected("b.jar", &sum)).unwrap_err().to_string().contains("b.jar"));
        assert!(check_jars(&folder, &BTreeMap::new()).unwrap_err().to_string().contains("a.jar"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_dependency_without_a_version_is_refused() {
        assert!(pom(&["org.x:y:1".to_owned()]).unwrap().contains("<artifactId>y</artifactId><version>1</version>"));
        assert!(pom(&["org.x:y".to_owned()]).is_err());
    }
}
