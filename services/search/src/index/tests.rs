//! What the index keeps and what it does when it cannot.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("search-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn put(writer: &mut Writer, sku: &str, title: &str, offset: i64) {
    writer.put(&Document { sku, title, description: "", category: "" }).unwrap();
    writer.pass(3, offset);
}

fn skus(reader: &Reader, text: &str) -> Vec<String> {
    reader.search(text, 0, 100).unwrap().into_iter().map(|(sku, _)| sku).collect()
}

#[test]
fn a_restart_goes_on_exactly_where_the_index_is() {
    let folder = Folder::new();
    {
        let (mut writer, _) = open(&folder.0).unwrap();
        assert!(writer.next_offsets().is_empty());
        put(&mut writer, "A", "mug", 41);
        writer.commit().unwrap();
        put(&mut writer, "B", "mug", 42);
    }
    let (writer, reader) = open(&folder.0).unwrap();
    assert_eq!(writer.next_offsets(), &[(3, 42)].into(), "what was not committed is read again");
    assert_eq!(skus(&reader, "mug"), ["A"]);
}

#[test]
fn an_item_is_there_once_as_it_was_last_put() {
    let (mut writer, reader) = in_memory();
    put(&mut writer, "A", "mug", 0);
    put(&mut writer, "A", "cup", 1);
    writer.commit().unwrap();
    put(&mut writer, "A", "beaker", 2);
    put(&mut writer, "B", "cup", 3);
    writer.remove("B");
    writer.pass(3, 4);
    assert_eq!(skus(&reader, ""), ["A"], "nothing is seen before the commit");
    assert_eq!(skus(&reader, "cup"), ["A"]);
    writer.commit().unwrap();
    assert_eq!((skus(&reader, ""), skus(&reader, "cup"), skus(&reader, "beaker")), (vec!["A".to_owned()], vec![], vec!["A".to_owned()]));
}

#[test]
fn two_processes_never_share_a_folder() {
    let folder = Folder::new();
    let _first = open(&folder.0).unwrap();
    assert!(matches!(open(&folder.0), Err(Error::InUse(_))));
}

type Damage = Box<dyn FnOnce(&Path)>;

fn damaged(damage: impl FnOnce(&Path)) -> (Writer, Reader) {
    let folder = Folder::new();
    {
        let (mut writer, _) = open(&folder.0).unwrap();
        put(&mut writer, "A", "mug", 41);
        writer.commit().unwrap();
    }
    damage(&folder.0.join("items"));
    open(&folder.0).unwrap()
}

#[test]
fn an_index_that_cannot_be_used_is_built_again() {
    let largest = |items: &Path| {
        let files = std::fs::read_dir(items).unwrap().map(|file| file.unwrap());
        let files = files.filter(|file| !file.file_name().to_str().unwrap().starts_with(['.', 'm']));
        files.max_by_key(|file| file.metadata().unwrap().len()).unwrap().path()
    };
    let garbage = |path: PathBuf| std::fs::write(path, "garbage").unwrap();
    let damages: [(&str, Damage); 5] = [
        ("meta", Box::new(move |items| garbage(items.join("meta.json")))),
        ("meta gone", Box::new(|items| std::fs::remove_file(items.join("meta.json")).unwrap())),
        ("a file cut", Box::new(move |items| garbage(largest(items)))),
        (
            "a bit flipped",
            Box::new(move |items| {
                let mut bytes = std::fs::read(largest(items)).unwrap();
                bytes[0] ^= 1;
                std::fs::write(largest(items), bytes).unwrap();
            }),
        ),
        (
            "a file instead",
            Box::new(|items| {
                std::fs::remove_dir_all(items).unwrap();
                std::fs::write(items, "garbage").unwrap();
            }),
        ),
    ];
    for (name, damage) in damages {
        let (writer, reader) = damaged(damage);
        assert_eq!((writer.next_offsets().len(), reader.count()), (0, 0), "{name}");
    }
}

#[test]
fn an_index_of_someone_else_is_built_again() {
    let (writer, _) = damaged(|items| {
        std::fs::remove_dir_all(items).unwrap();
        std::fs::create_dir_all(items).unwrap();
        let mut foreign = Schema::builder();
        foreign.add_text_field("body", STRING);
        Index::create_in_dir(items, foreign.build()).unwrap();
    });
    assert!(writer.next_offsets().is_empty());
}

#[test]
fn a_cleared_index_reads_the_topic_from_its_beginning() {
    let (mut writer, reader) = in_memory();
    put(&mut writer, "A", "mug", 41);
    writer.commit().unwrap();
    writer.clear().unwrap();
    assert_eq!((writer.next_offsets().len(), reader.count()), (0, 0));
}
