//! gRPC and gRPC-Web at the storefront's own port.
//!
//! Only what a shopper may do: prices, stock and reservations are changed behind, by those who own them. `order.v1` is answered here.

mod orders;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, Method, Version, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any,
};
use http_body_util::{BodyStream, StreamBody};
use proto::order::v1::order_service_server::OrderServiceServer;
use rpc::{Client, Grpc};
use tonic::Status;
use tonic_web::GrpcWebLayer;
use tower::ServiceExt as _;

use crate::{
    backends::{self, Backends},
    error::Error,
    shop::Shop,
};

/// Methods that are passed on, by service.
const PUBLIC: [(&str, &[&str]); 3] = [
    ("inventory.v1.InventoryService", &["GetItem", "BatchGetItems", "ListItems"]),
    ("cart.v1.CartService", &["GetCart", "SetLine", "RemoveLine"]),
    ("search.v1.SearchService", &["Search"]),
];

/// What belongs to one hop or to a browser, and not to the call.
const NOT_FORWARDED: [HeaderName; 6] =
    [header::HOST, header::CONNECTION, header::COOKIE, header::ORIGIN, header::TRANSFER_ENCODING, header::CONTENT_LENGTH];

/// What the storefront answers itself.
pub(crate) fn own(shop: Shop) -> Grpc {
    Grpc::default().with(OrderServiceServer::new(orders::Orders { shop }))
}

/// `own` with what is passed on, behind the translation of gRPC-Web.
pub(crate) fn router(own: Router, backends: &Backends) -> Router {
    let mut router = own;
    for (service, methods) in PUBLIC {
        let client = match service.split_once('.') {
            Some(("inventory", _)) => backends.inventory.clone(),
            Some(("cart", _)) => backends.cart.clone(),
            _ => backends.search.clone(),
        };
        for method in methods {
            router = router.route(&format!("/{service}/{method}"), any(pass_on).with_state(client.clone()));
        }
        router = router.route(&format!("/{service}/{{method}}"), any(refuse));
    }
    router.layer(GrpcWebLayer::new()).layer(middleware::from_fn(only_calls))
}

/// Whether a request is a gRPC or a gRPC-Web call.
pub(crate) fn is_call(request: &Request) -> bool {
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_web = media_type.starts_with("application/grpc-web");
    is_web || (media_type.starts_with("application/grpc") && request.version() == Version::HTTP_2)
}

async fn only_calls(request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return ([(header::ALLOW, "POST")], Error::Method).into_response();
    }
    if !is_call(&request) {
        return Error::ContentType("application/grpc over HTTP/2, or application/grpc-web").into_response();
    }
    next.run(request).await
}

async fn refuse(request: Request) -> Response {
    status(Error::NotPublic(request.uri().path().trim_start_matches('/').to_owned()).into())
}

fn status(status: Status) -> Response {
    status.into_http::<axum::body::Body>()
}

/// Hands the call to the service as it came, message by message.
async fn pass_on(State(client): State<Client>, request: Request) -> Response {
    // As a stream of frames the body has no length of its own: that of a base64 body would not be that of the call.
    let mut request = request.map(|body| tonic::body::Body::new(StreamBody::new(BodyStream::new(body))));
    *request.version_mut() = Version::HTTP_2;
    for name in NOT_FORWARDED {
        request.headers_mut().remove(name);
    }
    match client.oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(error) => status(backends::failure("the service", &error).into()),
    }
}
