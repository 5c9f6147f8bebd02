//! The description of the JSON API.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

const DOCUMENT: &str = include_str!("../openapi.json");

/// `GET /api/openapi.json`
pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api;
    use serde_json::Value;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    #[test]
    fn every_operation_is_described_and_every_description_is_an_operation() {
        let document = document();
        let mut described = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys().filter(|name| *name != "parameters") {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let answered: BTreeSet<_> = api::operations().iter().map(|operation| format!("{} {}", operation.method, operation.path)).collect();
        assert_eq!(described, answered);
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_operation_has_an_id_an_answer_and_a_problem() {
        for (path, operations) in document()["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
                assert!(operation["operationId"].is_string(), "{method} {path}");
                let answers = operation["responses"].as_object().unwrap();
                assert!(answers.keys().any(|code| code.starts_with('2')), "{method} {path}");
                assert!(path == "/api/openapi.json" || answers.contains_key("default"), "{method} {path}");
            }
        }
    }
}
