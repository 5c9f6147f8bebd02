//! The services behind: connections, health, and what their silence means.

use std::error::Error as StdError;

use proto::{
    cart::v1::cart_service_client::CartServiceClient, inventory::v1::inventory_service_client::InventoryServiceClient,
    order::v1::order_service_client::OrderServiceClient, search::v1::search_service_client::SearchServiceClient,
};
use rpc::{Client, Failure, Kind};
use tonic::{Code, Response, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::config::Config;

/// One connection to each service. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Backends {
    pub(crate) cart: Client,
    pub(crate) inventory: Client,
    pub(crate) order: Client,
    pub(crate) search: Client,
}

impl Backends {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            cart: rpc::channel(config.cart.clone()),
            inventory: rpc::channel(config.inventory.clone()),
            order: rpc::channel(config.order.clone()),
            search: rpc::channel(config.search.clone()),
        }
    }

    pub(crate) fn cart(&self) -> CartServiceClient<Client> {
        CartServiceClient::new(self.cart.clone())
    }

    pub(crate) fn inventory(&self) -> InventoryServiceClient<Client> {
        InventoryServiceClient::new(self.inventory.clone())
    }

    pub(crate) fn order(&self) -> OrderServiceClient<Client> {
        OrderServiceClient::new(self.order.clone())
    }

    pub(crate) fn search(&self) -> SearchServiceClient<Client> {
        SearchServiceClient::new(self.search.clone())
    }
}

/// Whether the service behind `client` says that it serves.
pub(crate) async fn ping(client: Client) -> Result<(), rpc::Unready> {
    let answer = HealthClient::new(client).check(HealthCheckRequest::default()).await;
    match answer.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(_) => Err("not ready itself".to_owned()),
        Err(status) => Err(failure("it", &status).message),
    }
}

/// What a call came to.
pub(crate) async fn call<T>(service: &'static str, answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Failure> {
    finish(service, answer.await)
}

pub(crate) fn finish<T>(service: &'static str, answer: Result<Response<T>, Status>) -> Result<T, Failure> {
    answer.map(Response::into_inner).map_err(|status| {
        if status.details().is_empty() {
            tracing::warn!(service, code = ?status.code(), error = %status.message(), "call failed");
        }
        failure(service, &status)
    })
}

fn has_cause<E: StdError + 'static>(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<E>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether the time was up on our side or on theirs.
fn is_late(status: &Status) -> bool {
    status.code() == Code::DeadlineExceeded || has_cause::<tonic::TimeoutExpired>(status)
}

/// Whether the connection, and not the service, made this status.
pub(crate) fn is_lost(status: &Status) -> bool {
    let from_transport = status.source().is_some() || status.code() == Code::Unavailable;
    status.details().is_empty() && from_transport && !is_late(status)
}

/// Whether nothing can have been done, because nothing was sent.
pub(crate) fn was_never_sent(status: &Status) -> bool {
    has_cause::<tonic::ConnectError>(status)
}

/// What a status means to our callers: the service's own words, or that it is away or late.
pub(crate) fn failure(service: &'static str, status: &Status) -> Failure {
    if !status.details().is_empty() {
        Failure::from(status.clone())
    } else if is_late(status) {
        Failure::new(Kind::Timeout, "DEADLINE_EXCEEDED", format!("{service} did not answer in time"))
    } else if is_lost(status) {
        Failure::new(Kind::Unavailable, "DEPENDENCY_UNAVAILABLE", format!("{service} cannot be reached; try again in a moment"))
    } else {
        Failure::from(status.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_quoted_and_its_silence_is_explained() {
        let said = Failure::new(Kind::NotFound, "ORDER_NOT_FOUND", "no such order");
        assert_eq!(failure("order", &Status::from(said.clone())), said);
        let away = failure("order", &Status::unavailable("tcp connect error: refused at 127.0.0.1"));
        assert_eq!((away.kind, away.reason.as_str()), (Kind::Unavailable, "DEPENDENCY_UNAVAILABLE"));
        assert!(!away.message.contains("127.0.0.1"));
        let late = failure("order", &Status::from_error(Box::new(tonic::TimeoutExpired(()))));
        assert_eq!((late.kind, late.reason.as_str()), (Kind::Timeout, "DEADLINE_EXCEEDED"));
    }
}
