//! `backbone stock`: how the stock of both regions stands, and moving the right to sell between them.

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use ids::{Region, Sku};
use proto::inventory::v1::{GetStockRequest, GiveRightsRequest, ListItemsRequest, Stock, inventory_service_client::InventoryServiceClient};
use serde_json::{Value, json};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    exit::Exit,
    home::Home,
    output::{line, table},
    state::State,
};

/// SKUs of one request.
const PAGE: usize = 200;

/// What can be done with the stock.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Show the stock of both regions.
    #[command(after_help = "Examples:\n  backbone stock show\n  backbone stock show MUG-STONEWARE-01 --json\n\n\
                            STOCKED is what a region has the right to sell: ON HAND, RESERVED and SOLD together. MOVED is what of it came from\n\
                            the other region; when both columns of a SKU do not add up to 0, the rest is on its way.")]
    Show {
        /// Which SKUs; all when none is named.
        skus: Vec<Sku>,
    },
    /// Move the right to sell some units from one region to the other.
    #[command(after_help = "Examples:\n  backbone stock move MUG-STONEWARE-01 50 --from eu\n\n\
                            The regions do this by themselves when one runs low. A repeat with the same --transfer-id moves nothing more.")]
    Move {
        /// Which SKU.
        sku: Sku,
        /// How many units.
        #[arg(value_parser = clap::value_parser!(i64).range(1..))]
        units: i64,
        /// The region that gives them.
        #[arg(long)]
        from: Region,
        /// Names the transfer, so that a repeat moves nothing more [default: a new one].
        #[arg(long)]
        transfer_id: Option<Uuid>,
    },
}

/// Does it.
///
/// # Errors
/// When an inventory service cannot be reached, or refuses.
pub async fn run(home: &Home, action: Action, json: bool) -> Result<Exit> {
    let state = State::read(home).with_context(|| format!("nothing has ever run in {}", home.path().display()))?;
    match action {
        Action::Show { skus } => show(&state, skus, json).await,
        Action::Move { sku, units, from, transfer_id } => {
            let transfer_id = transfer_id.unwrap_or_else(Uuid::now_v7);
            let request = GiveRightsRequest { transfer_id: transfer_id.to_string(), sku: sku.to_string(), quantity: units };
            let answer = connect(&state, from).await?.give_rights(request).await;
            let given = answer.map_err(|status| anyhow::anyhow!("{from} does not give them: {}", status.message()))?.into_inner().quantity;
            let to = from.peer();
            if json {
                line(json!({ "transfer_id": transfer_id, "sku": sku.as_str(), "units": given, "from": from.as_str(), "to": to.as_str() }));
            } else {
                line(format!("{given} of {sku} go from {from} to {to} (transfer {transfer_id})"));
            }
            Ok(Exit::Ok)
        }
    }
}

async fn show(state: &State, skus: Vec<Sku>, json: bool) -> Result<Exit> {
    let mut clients = Vec::new();
    for region in Region::ALL {
        clients.push((region, connect(state, region).await?));
    }
    let asked = if skus.is_empty() { all(&mut clients[0].1).await? } else { skus.iter().map(ToString::to_string).collect() };
    let (mut rows, mut answers) = (Vec::new(), Vec::new());
    for page in asked.chunks(PAGE) {
        let mut sides = Vec::new();
        for (region, client) in &mut clients {
            let answer =
                client.get_stock(GetStockRequest { skus: page.to_vec() }).await.with_context(|| format!("read {region}'s stock"))?;
            sides.push((*region, answer.into_inner().stock));
        }
        for sku in page {
            let found: Vec<(Region, &Stock)> =
                sides.iter().filter_map(|(region, stock)| Some((*region, stock.iter().find(|stock| stock.sku == *sku)?))).collect();
            if found.is_empty() {
                bail!("{sku} is in no region's catalog: `backbone stock show` lists what is");
            }
            rows.extend(found.iter().map(|(region, stock)| row(*region, stock)));
            answers.extend(found.iter().map(|(region, stock)| value(*region, stock)));
        }
    }
    if json {
        line(serde_json::to_string_pretty(&answers)?);
    } else {
        rows.insert(0, ["SKU", "REGION", "STOCKED", "ON HAND", "RESERVED", "SOLD", "MOVED"].map(str::to_owned).to_vec());
        line(table(&rows));
    }
    Ok(Exit::Ok)
}

/// Every SKU of the catalog.
async fn all(client: &mut InventoryServiceClient<Channel>) -> Result<Vec<String>> {
    let (mut skus, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListItemsRequest { page_size: u32::try_from(PAGE)?, page_token };
        let page = client.list_items(request).await.context("list the catalog")?.into_inner();
        skus.extend(page.items.into_iter().map(|item| item.sku));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(skus);
        }
    }
}

async fn connect(state: &State, region: Region) -> Result<InventoryServiceClient<Channel>> {
    let part = state.parts.iter().find(|part| part.name == "inventory" && part.region == region.as_str());
    let port = part.with_context(|| format!("there is no {region}/inventory among what runs"))?.port;
    let address = format!("http://127.0.0.1:{port}");
    InventoryServiceClient::connect(address.clone()).await.with_context(|| format!("connect to {region}'s inventory service at {address}"))
}

fn row(region: Region, stock: &Stock) -> Vec<String> {
    let Stock { sku, stocked, on_hand, reserved, sold, moved } = stock;
    let mut row = vec![sku.clone(), region.to_string()];
    row.extend([stocked, on_hand, reserved, sold, moved].map(ToString::to_string));
    row
}

fn value(region: Region, stock: &Stock) -> Value {
    let Stock { sku, stocked, on_hand, reserved, sold, moved } = stock;
    json!({
        "sku": sku, "region": region.as_str(), "stocked": stocked, "on_hand": on_hand, "reserved": reserved, "sold": sold, "moved": moved,
    })
}
