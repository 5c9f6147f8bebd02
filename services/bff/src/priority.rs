//! What goes first when there is too much to do: whoever pays, then whoever fills a cart, then whoever looks around. No shopper has a say in it.

use axum::{extract::Request, http::Method, middleware::Next, response::Response};
use rpc::{Context, Priority};

use crate::grpc;

/// Gives a request, and all calls that it causes, its priority.
pub(crate) async fn set(request: Request, next: Next) -> Response {
    let priority = of(request.method(), request.uri().path(), grpc::is_call(&request));
    Context::current().with_priority(priority).scope(next.run(request)).await
}

fn of(method: &Method, path: &str, is_call: bool) -> Priority {
    if is_call {
        return match path.rsplit('/').next() {
            Some("PlaceOrder" | "CancelOrder" | "ReturnOrder") => Priority::Checkout,
            Some("GetItem" | "BatchGetItems" | "ListItems" | "Search") => Priority::Browse,
            _ => Priority::Shop,
        };
    }
    let is_change = ![Method::GET, Method::HEAD].contains(method);
    let place = path.strip_prefix("/api").unwrap_or(path).split('/').nth(1).unwrap_or_default();
    match place {
        "orders" | "checkout" if is_change => Priority::Checkout,
        "orders" | "checkout" | "cart" | "session" | "sign-in" | "sign-out" => Priority::Shop,
        _ => Priority::Browse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_pays_goes_first() {
        for (method, path, is_call, priority) in [
            (Method::POST, "/api/orders", false, Priority::Checkout),
            (Method::POST, "/checkout", false, Priority::Checkout),
            (Method::POST, "/order.v1.OrderService/PlaceOrder", true, Priority::Checkout),
            (Method::GET, "/api/orders/1", false, Priority::Shop),
            (Method::PUT, "/api/cart/lines/a", false, Priority::Shop),
            (Method::POST, "/cart.v1.CartService/SetLine", true, Priority::Shop),
            (Method::GET, "/", false, Priority::Browse),
            (Method::GET, "/api/items/a", false, Priority::Browse),
            (Method::POST, "/search.v1.SearchService/Search", true, Priority::Browse),
        ] {
            assert_eq!(of(&method, path, is_call), priority, "{method} {path}");
        }
    }
}
