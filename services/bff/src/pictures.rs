//! `/images/{sku}.svg`: a picture for every item, drawn from its words and always the same.
//!
//! The title's noun picks the motif (a mug, a tent), else the category does; a material in the title picks the colour, else the SKU does.

mod motifs;
mod palettes;

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use ids::Sku;

use crate::{documents::fingerprint, error::Error, input::named, server::App, shop::Shop};

/// Titles change rarely, and a page asks for two dozen pictures at once.
const KEEP: Duration = Duration::from_secs(60);
/// Bounds the memory; more than any catalog here has.
const MAX_KEPT: usize = 5000;

/// Draws pictures, and remembers for a while what to draw. Pictures of the last moments need no call.
#[derive(Debug)]
pub(crate) struct Pictures {
    shop: Shop,
    subjects: Mutex<HashMap<Sku, (Instant, Subject)>>,
}

/// What a picture is drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Subject {
    title: String,
    category: String,
}

impl Pictures {
    pub(crate) fn new(shop: Shop) -> Self {
        Self { shop, subjects: Mutex::default() }
    }

    async fn subject(&self, sku: &Sku) -> Result<Subject, Error> {
        if let Some((at, subject)) = self.lock().get(sku)
            && at.elapsed() < KEEP
        {
            return Ok(subject.clone());
        }
        let item = self.shop.item(sku).await?;
        let subject = Subject { title: item.title, category: item.category };
        let mut subjects = self.lock();
        if subjects.len() >= MAX_KEPT {
            subjects.clear();
        }
        subjects.insert(sku.clone(), (Instant::now(), subject.clone()));
        Ok(subject)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Sku, (Instant, Subject)>> {
        self.subjects.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

pub(crate) fn router() -> Router<App> {
    Router::new().route("/images/{file}", get(image))
}

async fn image(State(app): State<App>, file: Result<Path<String>, PathRejection>) -> Result<Response, Error> {
    let Path(file) = file.map_err(|_| Error::UnknownPath)?;
    let sku: Sku = named(file.strip_suffix(".svg").ok_or(Error::UnknownPath)?)?;
    let picture = draw(&sku, &app.pictures.subject(&sku).await?);
    Ok(([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")], picture).into_response())
}

fn draw(sku: &Sku, subject: &Subject) -> String {
    let seed = fingerprint(0xcbf2_9ce4_8422_2325, sku.as_str().as_bytes());
    let palette = palettes::of(seed, &subject.title);
    let motif = palette.paint(motifs::of(&subject.title, &subject.category));
    let (light, ground, shade) = (palette.pale, palette.ground, palette.shade);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 400 400\" width=\"400\" height=\"400\" role=\"img\">\n\
         <defs><radialGradient id=\"g\" cx=\"50%\" cy=\"38%\" r=\"75%\"><stop offset=\"0\" stop-color=\"{light}\"/>\
         <stop offset=\"1\" stop-color=\"{ground}\"/></radialGradient></defs>\n\
         <rect width=\"400\" height=\"400\" fill=\"url(#g)\"/>\n\
         <ellipse cx=\"200\" cy=\"322\" rx=\"136\" ry=\"17\" fill=\"{shade}\" fill-opacity=\".55\"/>\n{motif}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subject(title: &str, category: &str) -> Subject {
        Subject { title: title.to_owned(), category: category.to_owned() }
    }

    /// Every element is closed, every attribute is quoted and stands once, nothing is left to fill in.
    fn assert_well_formed(svg: &str) {
        assert!(!svg.contains(['{', '}', '&']), "{svg}");
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("a tag ends");
            assert!(text.trim().is_empty(), "text {text:?}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{svg}");
                continue;
            }
            assert!(tag.matches('"').count() % 2 == 0, "{tag}");
            let mut names: Vec<&str> =
                tag.split('"').step_by(2).filter_map(|piece| piece.trim_end_matches('=').split_whitespace().last()).collect();
            names.retain(|name| *name != "/");
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "an attribute stands twice: {tag}");
            if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().unwrap_or_default());
            }
        }
        assert!(open.is_empty(), "{open:?} not closed");
    }

    #[test]
    fn every_motif_is_well_formed() {
        let sku = "MUG-01".parse().unwrap();
        for noun in motifs::nouns() {
            assert_well_formed(&draw(&sku, &subject(noun, "")));
        }
        for category in ["kitchen", "home", "garden", "books", "office", "outdoor", "toys", "audio", "lighting", "textiles", "anything"] {
            assert_well_formed(&draw(&sku, &subject("Thing", category)));
        }
    }

    #[test]
    fn the_noun_wins_over_the_category_and_the_last_one_counts() {
        assert_eq!(motifs::of("Stoneware Mug", "books"), motifs::of("Mug", ""));
        assert_eq!(motifs::of("Lamp Book", ""), motifs::of("Book", ""));
        assert_ne!(motifs::of("Thing", "books"), motifs::of("Thing", "garden"));
    }

    #[test]
    fn one_item_has_one_picture_and_another_item_another() {
        let (one, two): (Sku, Sku) = ("MUG-01".parse().unwrap(), "MUG-02".parse().unwrap());
        let mug = subject("Mug", "kitchen");
        assert_eq!(draw(&one, &mug), draw(&one, &mug));
        assert_ne!(draw(&one, &mug), draw(&two, &mug));
    }

    proptest! {
        #[test]
        fn whatever_the_words_the_picture_is_well_formed(sku in "[A-Z0-9-]{1,64}", title in "\\PC{0,60}", category in "\\PC{0,20}") {
            assert_well_formed(&draw(&sku.parse().unwrap(), &subject(&title, &category)));
        }
    }
}
