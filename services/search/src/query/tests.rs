//! What shoppers type and what they find.

use proptest::prelude::*;

use crate::index::{Document, Reader, in_memory};

const ITEMS: [(&str, &str, &str, &str); 6] = [
    ("MUG-1", "Blue enamel mug", "Keeps coffee warm by the fire.", "kitchen"),
    ("MUG-2", "Stoneware mug", "A heavy mug, glazed in blue.", "kitchen"),
    ("BOT-1", "Steel water bottle", "Insulated, 750 ml.", "outdoor"),
    ("TEE-1", "T-shirt, white", "Organic cotton.", "clothing"),
    ("CAF-1", "Café press", "For eight cups of coffee.", "kitchen"),
    ("LAM-1", "Desk lamp", "Warm light, a steel foot.", "office"),
];

fn reader() -> Reader {
    let (mut writer, reader) = in_memory();
    for ((sku, title, description, category), offset) in ITEMS.into_iter().zip(0..) {
        writer.put(&Document { sku, title, description, category }).unwrap();
        writer.pass(0, offset);
    }
    writer.commit().unwrap();
    reader
}

fn find(text: &str) -> Vec<String> {
    reader().search(text, 0, 100).unwrap().into_iter().map(|(sku, _)| sku).collect()
}

#[test]
fn no_words_find_everything_by_sku() {
    assert_eq!(find("  "), ["BOT-1", "CAF-1", "LAM-1", "MUG-1", "MUG-2", "TEE-1"]);
    assert_eq!(reader().search("", 4, 1).unwrap()[0].0, "MUG-2");
}

#[test]
fn the_title_weighs_more_than_the_description() {
    assert_eq!(find("blue"), ["MUG-1", "MUG-2"]);
    assert_eq!(find("steel"), ["BOT-1", "LAM-1"]);
}

#[test]
fn the_last_word_may_go_on_and_a_letter_may_be_wrong() {
    assert_eq!(find("water bot"), ["BOT-1"]);
    assert_eq!(find("botle"), ["BOT-1"]);
    assert_eq!(find("mugs"), ["MUG-2", "MUG-1"], "one of them says it twice");
    assert_eq!(find("cofee").len(), 2);
    assert!(find("mgu").is_empty(), "in three letters one is too much");
}

#[test]
fn what_fits_exactly_comes_before_what_fits_nearly() {
    let (mut writer, reader) = in_memory();
    for (sku, title) in [("A", "Bottles of ink"), ("B", "Battle axe"), ("C", "Bottle")] {
        writer.put(&Document { sku, title, description: "", category: "" }).unwrap();
        writer.pass(0, 0);
    }
    writer.commit().unwrap();
    let found: Vec<String> = reader.search("bottle", 0, 10).unwrap().into_iter().map(|(sku, _)| sku).collect();
    assert_eq!(found, ["C", "A", "B"]);
}

#[test]
fn case_accents_and_hyphens_do_not_matter() {
    assert_eq!(find("CAFE"), ["CAF-1"]);
    assert_eq!(find("t-shirt")[0], "TEE-1");
    assert_eq!(find("mug-2")[0], "MUG-2", "a SKU is found by itself");
}

#[test]
fn one_word_in_three_may_be_missing() {
    assert_eq!(find("nice steel bottle"), ["BOT-1"]);
    assert!(find("nice bottle").is_empty());
}

#[test]
fn syntax_is_understood_and_what_is_none_is_read_as_words() {
    assert_eq!(find("\"enamel mug\""), ["MUG-1"]);
    assert_eq!(find("mug -enamel"), ["MUG-2"]);
    assert_eq!(find("lamp OR bottle").len(), 2);
    assert_eq!(find("category:office"), ["LAM-1"]);
    assert_eq!(find("colour:blue mug")[0], "MUG-1");
    assert_eq!(find("blue mug\"")[0], "MUG-1");
    assert_eq!(find("(blue) mug!")[0], "MUG-1");
    assert!(find("!!!").is_empty());
}

#[test]
fn deep_nesting_and_huge_boosts_are_only_queries() {
    let reader = reader();
    for text in [
        format!("+a{}", "(".repeat(197)),
        format!("+a {}a{}", "(+".repeat(60), ")".repeat(60)),
        format!("{}mug", "-".repeat(190)),
        format!("+mug {}", "NOT ".repeat(48)),
        "+mug^340282350000000000000000000000000000000000 +blue^1e39".to_owned(),
        "title:[* TO *] AND sku:{A TO Z}".to_owned(),
        "title:IN [mug blue] sku:* title:/.*/".to_owned(),
        "title:*".to_owned(),
        "nosuch:*".to_owned(),
        "title:(*) OR mug".to_owned(),
    ] {
        reader.search(&text, 0, 10).unwrap();
    }
}

fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "mug", "blue", "steel", "MUG-1", "\"", "'", "(", ")", "[", "]", "{", "}", "+", "-", "^", "~", "*", "?", ":", "\\", "/", "title:",
        "sku:", "colour:", "AND", "OR", "NOT", "IN", "TO", " ", "  ", ",", "<", ">", ">=", "2", "0.5", "é", "\u{0}", "\u{202e}", "😀",
    ]);
    prop_oneof![prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat()), "\\PC{0,200}", any::<String>(),]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_text_makes_it_fail(text in texts(), offset in 0..1000_usize) {
        thread_local!(static READER: Reader = reader());
        let text: String = text.chars().take(200).collect();
        READER.with(|reader| {
            let found = reader.search(&text, 0, 10).unwrap();
            prop_assert!(found.len() <= ITEMS.len());
            reader.search(&text, offset, 25).unwrap();
            Ok(())
        })?;
    }
}
