//! What can be done in the shop. The JSON API, the pages and gRPC all go through here.

use std::{collections::HashMap, sync::Arc, time::Duration};

use config::Secret;
use ids::{IdempotencyKey, OrderId, SessionId, Sku};
use proto::{
    cart::v1::{self as cart, AbsorbCartRequest, CheckOutRequest, GetCartRequest, RemoveLineRequest, SetLineRequest},
    inventory::v1::{BatchGetItemsRequest, ListItemsRequest},
    market::v1 as market,
    order::v1::{
        self as wire, CancelOrderRequest, CancelOrderResponse, GetOrderRequest, PlaceOrderRequest, PlaceOrderResponse, ReturnOrderRequest,
        ReturnOrderResponse,
    },
    search::v1::SearchRequest,
};
use rpc::{Failure, Kind};
use tonic::{Response, Status};

use crate::{
    account::{Credentials, is_signed_in},
    backends::{self, Backends, call},
    checkout::Checkout,
    error::Error,
    live::Basket,
    metrics,
    session::Session,
    shelf::Shelf,
    view::{self, Cart, CartLine, Item, Items, Order},
};

/// How long an accepted order waits for its cart to be emptied.
const CHECK_OUT_WITHIN: Duration = Duration::from_secs(1);

/// What is wanted of the catalog.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Words to look for; empty for all.
    pub(crate) text: String,
    pub(crate) page_size: Option<u32>,
    pub(crate) page_token: String,
}

/// What a request with a key did to an order, and whether it had done so before.
#[derive(Debug)]
pub(crate) struct Keyed {
    pub(crate) order: Order,
    pub(crate) is_replay: bool,
}

impl Keyed {
    fn of(order: Option<wire::Order>, is_replay: bool) -> Result<Self, Error> {
        let order = order.ok_or_else(|| empty("order"))?.try_into()?;
        Ok(Self { order, is_replay })
    }
}

/// The shop. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    backends: Arc<Backends>,
    shelf: Shelf,
}

impl Shop {
    pub(crate) fn new(backends: Backends) -> Self {
        Self { backends: Arc::new(backends), shelf: Shelf::default() }
    }

    /// A page of the catalog, or of what was found in it.
    pub(crate) async fn items(&self, wanted: Wanted) -> Result<Items, Error> {
        let Wanted { text, page_size, page_token } = wanted;
        let page_size = page_size.unwrap_or_default();
        let (items, next_page_token) = if text.trim().is_empty() {
            let request = ListItemsRequest { page_size, page_token };
            let page = call("inventory", self.backends.inventory().list_items(request)).await?;
            (page.items.into_iter().map(Item::from).collect(), page.next_page_token)
        } else {
            let request = SearchRequest { query: text, page_size, page_token };
            let page = call("search", self.backends.search().search(request)).await?;
            (self.items_of(page.hits.into_iter().map(|hit| hit.sku).collect()).await?, page.next_page_token)
        };
        Ok(Items { items, next_page_token: Some(next_page_token).filter(|token| !token.is_empty()) })
    }

    /// One item.
    pub(crate) async fn item(&self, sku: &Sku) -> Result<Item, Error> {
        let item = self.shelf.item(sku.as_str(), |skus| self.items_of(skus)).await?;
        Ok(item.ok_or_else(|| Failure::new(Kind::NotFound, "INVENTORY_UNKNOWN_SKU", format!("the catalog has no {sku}")))?)
    }

    /// Those of the items that there are, in the order asked for.
    async fn items_of(&self, skus: Vec<String>) -> Result<Vec<Item>, Failure> {
        if skus.is_empty() {
            return Ok(Vec::new());
        }
        let request = BatchGetItemsRequest { skus };
        let answer = call("inventory", self.backends.inventory().batch_get_items(request)).await?;
        Ok(answer.items.into_iter().map(Item::from).collect())
    }

    /// The session's cart.
    pub(crate) async fn cart(&self, session: &SessionId) -> Result<Cart, Error> {
        let cart = self.stored_cart(session).await?;
        self.priced(cart).await
    }

    /// The session's cart at a glance.
    pub(crate) async fn basket(&self, session: &SessionId) -> Result<Basket, Error> {
        let cart = self.stored_cart(session).await?;
        Ok(Basket { version: cart.version, units: cart.lines.iter().map(|line| u64::from(line.quantity)).sum() })
    }

    async fn stored_cart(&self, session: &SessionId) -> Result<cart::Cart, Failure> {
        let request = GetCartRequest { cart_id: session.to_string() };
        let answer = call("cart", self.backends.cart().get_cart(request)).await?;
        answer.cart.ok_or_else(|| empty("cart"))
    }

    async fn priced(&self, cart: cart::Cart) -> Result<Cart, Error> {
        let skus = cart.lines.iter().map(|line| line.sku.clone()).collect();
        let mut items = self.shelf.items(skus, |skus| self.items_of(skus)).await?;
        let line = |line: market::Line| {
            let item = items.remove(&line.sku);
            CartLine::of(line, item)
        };
        let lines: Vec<CartLine> = cart.lines.into_iter().map(line).collect();
        let total = view::total(lines.iter().filter_map(|line| Some((line.unit_price.as_ref()?, line.quantity))))?;
        Ok(Cart { lines, total, version: cart.version })
    }

    /// Sets the quantity of an item in the cart. Setting it twice is setting it once; with a key, a late repeat does not undo what came after.
    pub(crate) async fn set_line(&self, session: &SessionId, sku: &Sku, quantity: u32, key: Option<IdempotencyKey>) -> Result<Cart, Error> {
        self.item(sku).await?;
        let line = Some(market::Line { sku: sku.to_string(), quantity });
        let request = SetLineRequest { cart_id: session.to_string(), line, idempotency_key: text(key) };
        let answer = call("cart", self.backends.cart().set_line(request)).await?;
        let cart = answer.cart.ok_or_else(|| empty("cart"))?;
        self.priced(cart).await
    }

    /// Takes what is in `from` into the cart of a shopper who has signed in. Asked again, it adds nothing more.
    pub(crate) async fn absorb(&self, session: &SessionId, from: &SessionId) -> Result<Cart, Error> {
        let request = AbsorbCartRequest { cart_id: session.to_string(), from_cart_id: from.to_string(), idempotency_key: String::new() };
        let answer = call("cart", self.backends.cart().absorb_cart(request)).await?;
        let cart = answer.cart.ok_or_else(|| empty("cart"))?;
        self.priced(cart).await
    }

    /// Signs in: the session of these credentials, with what was in the cart of `before`, unless that is a shopper's own.
    pub(crate) async fn sign_in(&self, credentials: &Credentials, secret: &Secret, before: &Session) -> Result<(Session, Cart), Error> {
        let id = credentials.session(secret)?;
        let cart =
            if before.is_known() && !is_signed_in(&before.id) { self.absorb(&id, &before.id).await? } else { self.cart(&id).await? };
        Ok((Session::begun(id), cart))
    }

    /// Takes an item out of the cart; one that is not in it is no error.
    pub(crate) async fn remove_line(&self, session: &SessionId, sku: &Sku, key: Option<IdempotencyKey>) -> Result<Cart, Error> {
        let request = RemoveLineRequest { cart_id: session.to_string(), sku: sku.to_string(), idempotency_key: text(key) };
        let answer = call("cart", self.backends.cart().remove_line(request)).await?;
        let cart = answer.cart.ok_or_else(|| empty("cart"))?;
        self.priced(cart).await
    }

    /// Orders what is in the cart.
    pub(crate) async fn order_cart(&self, session: &SessionId, key: &IdempotencyKey, checkout: Checkout) -> Result<Keyed, Error> {
        let checkout = checkout.checked()?;
        let lines = match self.stored_cart(session).await {
            Ok(cart) => self.price(cart.lines).await,
            Err(failure) => Err(failure),
        };
        let request = PlaceOrderRequest {
            session_id: session.to_string(),
            lines: Vec::new(),
            payment_token: checkout.payment_token,
            address: Some(checkout.address.into()),
            idempotency_key: key.to_string(),
            lines_from_cart: true,
        };
        // The order service alone knows whether the key placed an order before, and that order is the answer whatever the cart holds by
        // now. So it is asked even when there is nothing to order: without lines it can only repeat or refuse.
        let answer = match lines {
            Ok(lines) => self.place(PlaceOrderRequest { lines, ..request }).await?,
            Err(failure) => match self.place(request).await {
                Err(Error::Failed(refusal)) if refusal.reason == "ORDER_EMPTY" => return Err(failure.into()),
                answer => answer?,
            },
        };
        let placed = Keyed::of(answer.order, answer.replayed)?;
        if !placed.is_replay {
            self.check_out(session, &placed.order).await;
        }
        Ok(placed)
    }

    /// Takes what was bought out of the cart before the shopper is told, so that what they put in next stays in. When the cart service is
    /// away its consumer of `order.placed` does it later.
    async fn check_out(&self, session: &SessionId, order: &Order) {
        let lines = order.lines.iter().map(|line| market::Line { sku: line.sku.clone(), quantity: line.quantity }).collect();
        let order_id = order.order_id.clone();
        let idempotency_key = format!("{order_id}/check_out");
        let request = CheckOutRequest { cart_id: session.to_string(), order_id, lines, idempotency_key };
        let done = tokio::time::timeout(CHECK_OUT_WITHIN, self.backends.cart().check_out(request)).await;
        if !matches!(done, Ok(Ok(_))) {
            tracing::warn!(order.id = order.order_id, "the cart is emptied later");
        }
    }

    /// The shop's prices for lines that somebody wants.
    pub(crate) async fn price(&self, lines: Vec<market::Line>) -> Result<Vec<market::PricedLine>, Failure> {
        let items = self.items_of(lines.iter().map(|line| line.sku.clone()).collect()).await?;
        let items: HashMap<&str, &Item> = items.iter().map(|item| (item.sku.as_str(), item)).collect();
        let priced = |line: market::Line| {
            let item = items.get(line.sku.as_str()).ok_or_else(|| {
                let message = format!("{} is not sold any more; take it out of the cart", line.sku);
                Failure::new(Kind::NotFound, "INVENTORY_UNKNOWN_SKU", message)
            })?;
            let price = market::Money { amount_minor: item.price.amount_minor, currency: item.price.currency.clone() };
            Ok(market::PricedLine { sku: line.sku, quantity: line.quantity, title: item.title.clone(), unit_price: Some(price) })
        };
        lines.into_iter().map(priced).collect()
    }

    /// Places an order.
    pub(crate) async fn place(&self, request: PlaceOrderRequest) -> Result<PlaceOrderResponse, Error> {
        let answer = change(self.backends.order().place_order(request)).await?;
        metrics::count_order(answer.replayed);
        Ok(answer)
    }

    /// Cancels an order that is not being paid for yet.
    pub(crate) async fn cancel_order(&self, session: &SessionId, key: &IdempotencyKey, id: OrderId) -> Result<Keyed, Error> {
        let (session_id, idempotency_key) = (session.to_string(), key.to_string());
        let answer = self.cancel(CancelOrderRequest { order_id: id.to_string(), session_id, idempotency_key }).await?;
        Keyed::of(answer.order, answer.replayed)
    }

    /// The same, as the order service has it.
    pub(crate) async fn cancel(&self, request: CancelOrderRequest) -> Result<CancelOrderResponse, Error> {
        change(self.backends.order().cancel_order(request)).await
    }

    /// Sends a shipped order back.
    pub(crate) async fn return_order(&self, session: &SessionId, key: &IdempotencyKey, id: OrderId) -> Result<Keyed, Error> {
        let (session_id, idempotency_key) = (session.to_string(), key.to_string());
        let answer = self.take_back(ReturnOrderRequest { order_id: id.to_string(), session_id, idempotency_key }).await?;
        Keyed::of(answer.order, answer.replayed)
    }

    /// The same, as the order service has it.
    pub(crate) async fn take_back(&self, request: ReturnOrderRequest) -> Result<ReturnOrderResponse, Error> {
        change(self.backends.order().return_order(request)).await
    }

    /// An order.
    pub(crate) async fn order(&self, id: OrderId) -> Result<Order, Error> {
        self.stored_order(id).await?.try_into()
    }

    /// An order as the order service has it.
    pub(crate) async fn stored_order(&self, id: OrderId) -> Result<wire::Order, Error> {
        let request = GetOrderRequest { order_id: id.to_string() };
        let answer = call("order", self.backends.order().get_order(request)).await?;
        Ok(answer.order.ok_or_else(|| empty("order"))?)
    }
}

/// Changes an order. The key makes a repeat harmless, so a call that was lost was made again already; when that is lost too nobody knows.
async fn change<T>(answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Error> {
    let answer = answer.await;
    let may_be_done = answer.as_ref().err().is_some_and(|status| backends::is_lost(status) && !backends::was_never_sent(status));
    match backends::finish("order", answer) {
        Err(failure) if failure.kind == Kind::Unavailable && may_be_done => Err(Error::OutcomeUnknown),
        answer => Ok(answer?),
    }
}

/// A key that may be absent, as it is on the wire.
fn text(key: Option<IdempotencyKey>) -> String {
    key.map_or_else(String::new, |key| key.to_string())
}

fn empty(service: &'static str) -> Failure {
    Failure::new(Kind::Internal, "INTERNAL", format!("{service} gave an empty answer"))
}
