//! `inventory.v1.InventoryService`: decode, call, encode.

use ids::{OrderId, Region, Sku};
use proto::inventory::v1::{
    self as wire, BatchGetItemsRequest, BatchGetItemsResponse, CommitRequest, CommitResponse, GetItemRequest, GetItemResponse,
    GetStockRequest, GetStockResponse, GiveRightsRequest, GiveRightsResponse, ListItemsRequest, ListItemsResponse, PutItemRequest,
    PutItemResponse, ReleaseRequest, ReleaseResponse, ReserveRequest, ReserveResponse, inventory_service_server::InventoryService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

use crate::{
    domain::{Command, Item, Lines, MAX_STOCK, Refusal},
    error::Error,
    events, metrics,
    rights::Rights,
    store::{
        items::{self, Put, Stocked},
        reservations::{self, Applied},
        rights::{self, Transfer},
    },
};

/// Items of one page when the caller does not say.
const PAGE: u32 = 24;
/// Most items of one page or one batch.
const MAX_PAGE: u32 = 200;

/// Answers the RPCs.
pub(crate) struct Api {
    pub(crate) region: Region,
    pub(crate) pool: PgPool,
    pub(crate) rights: Rights,
}

#[tonic::async_trait]
impl InventoryService for Api {
    async fn put_item(&self, request: Request<PutItemRequest>) -> Result<Response<PutItemResponse>, Status> {
        let request = request.into_inner();
        let item = decode_item(request.item.ok_or_else(|| malformed("item is required"))?)?;
        if !(0..=MAX_STOCK).contains(&request.initial_stock) {
            return Err(malformed(format!("initial_stock must be 0 to {MAX_STOCK}")).into());
        }
        let put = items::put(&self.pool, self.region, &item, request.initial_stock).await?;
        Ok(Response::new(PutItemResponse { created: put == Put::Created }))
    }

    async fn get_item(&self, request: Request<GetItemRequest>) -> Result<Response<GetItemResponse>, Status> {
        let sku = decode_sku(&request.into_inner().sku)?;
        let found = items::find(&self.pool, std::slice::from_ref(&sku)).await?;
        let item = found.first().map(encode).ok_or_else(|| Error::from(Refusal::UnknownSku(vec![sku])))?;
        Ok(Response::new(GetItemResponse { item: Some(item) }))
    }

    async fn batch_get_items(&self, request: Request<BatchGetItemsRequest>) -> Result<Response<BatchGetItemsResponse>, Status> {
        let skus = decode_skus(&request.into_inner().skus)?;
        let found = items::find(&self.pool, &skus).await?;
        Ok(Response::new(BatchGetItemsResponse { items: found.iter().map(encode).collect() }))
    }

    async fn list_items(&self, request: Request<ListItemsRequest>) -> Result<Response<ListItemsResponse>, Status> {
        let ListItemsRequest { page_size, page_token } = request.into_inner();
        let page_size = match page_size {
            0 => PAGE,
            1..=MAX_PAGE => page_size,
            _ => return Err(malformed(format!("page_size must be 1 to {MAX_PAGE}")).into()),
        };
        // The token is the last SKU of the page before.
        let after = Some(page_token).filter(|token| !token.is_empty());
        let after: Option<Sku> = after.map(|token| token.parse()).transpose().map_err(|_| Error::PageToken)?;
        let mut found = items::list(&self.pool, after.as_ref(), page_size + 1).await?;
        let has_more = found.len() > page_size as usize;
        found.truncate(page_size as usize);
        let last = found.last().filter(|_| has_more);
        let next_page_token = last.map_or_else(String::new, |last| last.item.sku.to_string());
        Ok(Response::new(ListItemsResponse { items: found.iter().map(encode).collect(), next_page_token }))
    }

    async fn reserve(&self, request: Request<ReserveRequest>) -> Result<Response<ReserveResponse>, Status> {
        let request = request.into_inner();
        let (id, lines) = (request.order_id.parse().map_err(malformed)?, decode_lines(request.lines)?);
        let state = done(self.rights.reserve(id, self.home(request.home_region)?, lines).await)?;
        Ok(Response::new(ReserveResponse { state: state.into() }))
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        let request = request.into_inner();
        let state = self.apply(&request.order_id, request.home_region, Command::Release).await?;
        Ok(Response::new(ReleaseResponse { state: state.into() }))
    }

    async fn commit(&self, request: Request<CommitRequest>) -> Result<Response<CommitResponse>, Status> {
        let request = request.into_inner();
        let state = self.apply(&request.order_id, request.home_region, Command::Commit).await?;
        Ok(Response::new(CommitResponse { state: state.into() }))
    }

    async fn get_stock(&self, request: Request<GetStockRequest>) -> Result<Response<GetStockResponse>, Status> {
        let skus = decode_skus(&request.into_inner().skus)?;
        Ok(Response::new(GetStockResponse { stock: items::stock(&self.pool, &skus).await? }))
    }

    async fn give_rights(&self, request: Request<GiveRightsRequest>) -> Result<Response<GiveRightsResponse>, Status> {
        let GiveRightsRequest { transfer_id, sku, quantity, home_region } = request.into_inner();
        if !(1..=MAX_STOCK).contains(&quantity) {
            return Err(malformed(format!("quantity must be 1 to {MAX_STOCK}")).into());
        }
        let id = transfer_id.parse().map_err(|error| malformed(format!("transfer_id: {error}")))?;
        let quantity = rights::give(&self.pool, &Transfer { id, from: self.home(home_region)?, sku: decode_sku(&sku)?, quantity }).await?;
        metrics::count_moved(quantity, 0);
        Ok(Response::new(GiveRightsResponse { quantity }))
    }
}

impl Api {
    /// Reservations are idempotent by their order, so the key of the step has nothing to add.
    async fn apply(&self, order_id: &str, home_region: i32, command: Command) -> Result<wire::ReservationState, Error> {
        let id: OrderId = order_id.parse().map_err(malformed)?;
        done(reservations::apply(&self.pool, id, self.home(home_region)?, command).await)
    }

    fn home(&self, home_region: i32) -> Result<Region, Error> {
        decode_home(home_region, self.region)
    }
}

/// The state that was reached, counted.
fn done(applied: Result<Applied, Error>) -> Result<wire::ReservationState, Error> {
    let Applied { state, events } = applied.inspect_err(|error| {
        if matches!(error, Error::Refused(Refusal::OutOfStock(_))) {
            metrics::count_out_of_stock();
        }
    })?;
    metrics::count(&events);
    Ok(events::state(state))
}

pub(crate) fn malformed(error: impl std::fmt::Display) -> Error {
    Error::Malformed(error.to_string())
}

/// The home that a request is about; its own region's when it does not say.
pub(crate) fn decode_home(home_region: i32, own: Region) -> Result<Region, Error> {
    let home = events::home(home_region).map_err(|_| malformed("home_region is no region"))?;
    Ok(home.unwrap_or(own))
}

fn decode_sku(sku: &str) -> Result<Sku, Error> {
    sku.parse().map_err(malformed)
}

fn decode_skus(skus: &[String]) -> Result<Vec<Sku>, Error> {
    if skus.len() > MAX_PAGE as usize {
        return Err(malformed(format!("at most {MAX_PAGE} skus in one batch")));
    }
    skus.iter().map(|sku| decode_sku(sku)).collect()
}

pub(crate) fn decode_lines(lines: Vec<proto::market::v1::Line>) -> Result<Lines, Error> {
    let line = |line: proto::market::v1::Line| Ok((decode_sku(&line.sku)?, line.quantity));
    let lines: Vec<(Sku, u32)> = lines.into_iter().map(line).collect::<Result<_, Error>>()?;
    Ok(Lines::requested(lines)?)
}

fn decode_item(item: wire::Item) -> Result<Item, Error> {
    let price = item.price.as_ref().ok_or_else(|| malformed("item.price is required"))?;
    let item = Item {
        sku: decode_sku(&item.sku)?,
        price: price.try_into().map_err(malformed)?,
        title: item.title,
        description: item.description,
        category: item.category,
    };
    Ok(item.checked()?)
}

fn encode(stocked: &Stocked) -> wire::Item {
    events::item(&stocked.item, stocked.in_stock)
}
