//! The API of whoever plays the bank: how the provider behaves, and chargebacks. It meets no accidents.

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    routing::{get, post},
};
use uuid::Uuid;

use crate::{
    api::{Name, input},
    behavior::Behavior,
    domain::{Charge, Command},
    error::Error,
    store::Store,
};

pub(crate) fn router() -> Router<Store> {
    Router::new()
        .route("/v1/behavior", get(show).put(replace).patch(change).delete(reset))
        .route("/v1/charges/{id}/chargeback", post(charge_back))
}

async fn show(State(store): State<Store>) -> Json<Behavior> {
    Json(store.behavior())
}

/// Fields that the body does not name get their plain values.
async fn replace(State(store): State<Store>, body: Body) -> Result<Json<Behavior>, Error> {
    let behavior = Behavior::default().with(&input::read(body).await?).map_err(Error::Invalid)?;
    store.behave(behavior).await.map(Json)
}

/// Fields that the body does not name stay as they are.
async fn change(State(store): State<Store>, body: Body) -> Result<Json<Behavior>, Error> {
    let behavior = store.behavior().with(&input::read(body).await?).map_err(Error::Invalid)?;
    store.behave(behavior).await.map(Json)
}

async fn reset(State(store): State<Store>) -> Result<Json<Behavior>, Error> {
    store.reset().await.map(Json)
}

/// The bank takes back what is left of a captured charge. A repeat changes nothing.
async fn charge_back(State(store): State<Store>, id: Name) -> Result<Json<Charge>, Error> {
    let Path(id) = id.map_err(|_| Error::UnknownPath)?;
    let command = Command::ChargeBack { id: format!("cb_{}", Uuid::now_v7().simple()) };
    store.command(id, command).await.map(|answer| Json(answer.charge))
}
