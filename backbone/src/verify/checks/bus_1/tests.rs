//! Each way to break BUS-1 is seen, and what only looks like one is not.

use proptest::prelude::*;

use super::*;
use crate::verify::{
    facts::samples::{NOW, id},
    finding::Severity,
};

const SPAN: Span = Span { since: NOW - 100_000, horizon: NOW };
const TOPIC: &str = "order.events";
const HEARS: Hears = Hears { schema: "inventory", consumer: "stock", from: &[(TOPIC, &["order.shipped"])], mark: Mark::Event };

/// Row `number` of the outbox, of one of three keys, a second after the one before.
fn row(number: u32) -> Row {
    let at = NOW - 50_000 + 1000 * i64::from(number);
    Row { outbox: 0, id: i64::from(number), event_id: id(at, number), key: format!("key-{}", number % 3), created_at: at }
}

fn message(number: u32) -> Message {
    let Row { event_id, key, .. } = row(number);
    Message { at: At(0, i64::from(number)), event_id, key, kind: "order.shipped".to_owned(), version: Some(u64::from(number) + 1) }
}

fn follow(is_compacted: bool, rows: &[Row], messages: &[Message]) -> Vec<(Severity, String)> {
    let mut findings = Findings::default();
    let mut topic = Topic::new(TOPIC.to_owned(), SPAN, is_compacted);
    rows.iter().for_each(|row| topic.row(row, &mut findings));
    messages.iter().for_each(|message| topic.message(message, &mut findings));
    topic.finish(&mut findings);
    said(&findings)
}

fn consume(hears: Hears, applied: &[Uuid], messages: &[Message]) -> Vec<(Severity, String)> {
    let mut findings = Findings::default();
    let mut consumer = Consumer::new(hears, "eu", SPAN);
    applied.iter().for_each(|id| consumer.row(*id, &mut findings));
    messages.iter().for_each(|message| consumer.message(TOPIC, message));
    consumer.finish(&mut findings);
    said(&findings)
}

fn said(findings: &Findings) -> Vec<(Severity, String)> {
    let examples = findings.iter().flat_map(|(_, tally)| tally.examples.clone());
    examples.map(|example| (example.severity, format!("{} {}", example.subject, example.text))).collect()
}

fn one(found: &[(Severity, String)], severity: Severity, words: &str) {
    assert!(found.len() == 1 && found[0].0 == severity && found[0].1.contains(words), "{severity:?} {words:?}: {found:?}");
}

fn rows(numbers: impl IntoIterator<Item = u32>) -> Vec<Row> {
    numbers.into_iter().map(row).collect()
}

fn messages(numbers: impl IntoIterator<Item = u32>) -> Vec<Message> {
    numbers.into_iter().map(message).collect()
}

#[test]
fn an_event_that_is_not_published_is_missed() {
    one(&follow(false, &rows(0..9), &messages((0..9).filter(|n| *n != 8))), Severity::Unsettled, "is not in Kafka");
    let young = Row { created_at: NOW + 1, ..row(8) };
    assert_eq!(follow(false, &[young], &[]), [], "it may be on its way");
}

#[test]
fn an_event_that_nobody_committed_is_found() {
    one(&follow(false, &rows(0..8), &messages(0..9)), Severity::Unsettled, "was not committed");
    let pruned = follow(false, &rows(3..9), &messages(0..9));
    assert_eq!(pruned, [], "older messages than the oldest row belong to rows that were dropped");
}

#[test]
fn the_order_of_a_key_counts_and_that_of_different_keys_does_not() {
    assert_eq!(follow(false, &rows(0..9), &messages([2, 1, 0, 3, 5, 4, 6, 7, 8])), []);
    let found = follow(false, &rows(0..9), &messages([0, 1, 2, 6, 3, 4, 5, 7, 8]));
    assert!(
        found.iter().any(|(severity, text)| *severity == Severity::Broken && text.contains("row 3 came at 0/3 behind row 6")),
        "{found:?}"
    );
}

#[test]
fn a_version_that_does_not_grow_is_found_also_when_rows_are_gone() {
    one(&follow(false, &[], &messages([0, 3, 6, 4, 1])), Severity::Broken, "has version 2 behind 5");
}

#[test]
fn repeats_are_counted_and_harmless() {
    assert_eq!(follow(false, &rows(0..9), &messages([0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8])), []);
    assert_eq!(follow(false, &[], &messages([0, 3, 0, 3, 6])), [], "also of rows that were dropped");
}

#[test]
fn a_message_with_another_key_is_found() {
    let mut list = messages(0..9);
    list[8].key = "key-9".to_owned();
    one(&follow(false, &rows(0..9), &list), Severity::Broken, "has key key-9");
}

#[test]
fn a_compacted_topic_needs_the_newest_of_each_key_only() {
    assert_eq!(follow(true, &rows(0..9), &messages([6, 7, 8])), []);
    one(&follow(true, &rows(0..9), &messages([5, 6, 7])), Severity::Unsettled, "was committed as row 8");
}

#[test]
fn a_row_that_stands_twice_is_found() {
    let twice = [row(0), Row { id: 7, ..row(0) }];
    let found = follow(false, &twice, &messages([0]));
    assert!(found.iter().any(|(_, text)| text.contains("stands in the outbox twice")), "{found:?}");
}

#[test]
fn what_is_heard_is_applied_once() {
    let applied: Vec<_> = (0..9).map(|number| row(number).event_id).collect();
    assert_eq!(consume(HEARS, &applied, &messages(0..9)), []);
    one(&consume(HEARS, &applied[..8], &messages(0..9)), Severity::Unsettled, "was not applied by consumer 'stock' of inventory in eu");
    one(&consume(HEARS, &applied, &messages(0..8)), Severity::Unsettled, "is in none of its topics");
    let twice = [applied.clone(), vec![applied[0]]].concat();
    one(&consume(HEARS, &twice, &messages(0..9)), Severity::Broken, "was applied twice");
    let mut other = messages(0..9);
    other[8].kind = "order.placed".to_owned();
    assert_eq!(consume(HEARS, &applied[..8], &other), [], "another kind is not heard");
}

#[test]
fn a_dead_letter_is_named_with_its_cause() {
    let mut findings = Findings::default();
    let mut consumer = Consumer::new(HEARS, "eu", SPAN);
    consumer.dead_letter(row(0).event_id, "no such order".to_owned());
    consumer.message(TOPIC, &message(0));
    consumer.finish(&mut findings);
    one(&said(&findings), Severity::Broken, "is among the dead letters of consumer 'stock' of inventory in eu: no such order");
}

#[test]
fn what_is_marked_by_key_may_come_before_its_event() {
    let hears = Hears { mark: Mark::Key, ..HEARS };
    let order = id(NOW - 10_000, 5);
    let heard = Message { key: order.to_string(), ..message(0) };
    assert_eq!(consume(hears, &[order], &[]), []);
    assert_eq!(consume(hears, &[order], std::slice::from_ref(&heard)), []);
    one(&consume(hears, &[], &[heard]), Severity::Unsettled, "was not applied");
}

proptest! {
    /// Any interleaving that keeps each key's order, with repeats of anything that came before, is sound; swapping two of one key is not.
    #[test]
    fn any_order_that_keeps_each_keys_own_is_sound(picks in prop::collection::vec((0_u32..3, any::<bool>()), 1..40)) {
        let mut next = [0, 1, 2];
        let mut sent: Vec<u32> = Vec::new();
        for (key, is_repeat) in picks {
            if is_repeat && !sent.is_empty() {
                sent.push(sent[key as usize % sent.len()]);
            } else {
                sent.push(next[key as usize]);
                next[key as usize] += 3;
            }
        }
        let committed: Vec<u32> = (0..40 * 3).filter(|number| sent.contains(number)).collect();
        prop_assert_eq!(follow(false, &rows(committed.clone()), &messages(sent)), []);
        if let Some(pair) = committed.iter().find(|number| committed.contains(&(**number + 3))) {
            let swapped = committed.iter().map(|number| if *number == *pair { pair + 3 } else if *number == pair + 3 { *pair } else { *number });
            prop_assert!(!follow(false, &rows(committed.clone()), &messages(swapped)).is_empty());
        }
    }
}
