//! `backbone stock`: how the stock of both homes stands, and moving the right to sell between them. A home is its own region's, or the other one's
//! while that is away: whoever holds it is asked.

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use ids::{Region, Sku};
use proto::{
    inventory::v1::{
        GetStockRequest, GiveRightsRequest, GiveRightsResponse, ListItemsRequest, Stock, inventory_service_client::InventoryServiceClient,
    },
    market::v1 as market,
};
use serde_json::{Value, json};
use tonic::{Code, transport::Channel};
use uuid::Uuid;

use crate::{
    exit::Exit,
    home::Home,
    output::{line, problem, table},
    state::State,
};

/// SKUs of one request.
const PAGE: usize = 200;

/// What can be done with the stock.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Show the stock of both homes.
    #[command(after_help = "Examples:\n  backbone stock show\n  backbone stock show MUG-STONEWARE-01 --json\n\n\
                            STOCKED is what a home has the right to sell: ON HAND, RESERVED and SOLD together. MOVED is what of it came from the\n\
                            other home; when both columns of a SKU do not add up to 0, the rest is on its way. HOLDER is the region that writes\n\
                            the home's stock now; with none of them, what is shown is a copy.")]
    Show {
        /// Which SKUs; all when none is named.
        skus: Vec<Sku>,
    },
    /// Move the right to sell some units from one home to the other.
    #[command(after_help = "Examples:\n  backbone stock move MUG-STONEWARE-01 50 --from eu\n\n\
                            The regions do this by themselves when one runs low. A repeat with the same --transfer-id moves nothing more.")]
    Move {
        /// Which SKU.
        sku: Sku,
        /// How many units.
        #[arg(value_parser = clap::value_parser!(i64).range(1..))]
        units: i64,
        /// The home that gives them.
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
            let home_region = market::Region::from(from).into();
            let request = GiveRightsRequest { transfer_id: transfer_id.to_string(), sku: sku.to_string(), quantity: units, home_region };
            let given = give(&state, from, request).await?.quantity;
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

/// Asks the home's own region, and the other one when that does not hold it or is away.
async fn give(state: &State, from: Region, request: GiveRightsRequest) -> Result<GiveRightsResponse> {
    let ask = async |region: Region| anyhow::Ok(connect(state, region).await?.give_rights(request.clone()).await);
    let unavailable = match ask(from).await {
        Ok(Ok(given)) => return Ok(given.into_inner()),
        Ok(Err(status)) if status.code() == Code::Unavailable => status.message().to_owned(),
        Ok(Err(status)) => bail!("{from} does not give them: {}", status.message()),
        Err(error) => format!("{error:#}"),
    };
    match ask(from.peer()).await {
        Ok(Ok(given)) => Ok(given.into_inner()),
        Ok(Err(status)) => bail!("nobody gives them: {from}: {unavailable}; {}: {}", from.peer(), status.message()),
        Err(error) => Err(error.context(unavailable)),
    }
}

/// How a home's stock of a SKU stands: as its holder says, or as the home's own region has it, or else as whoever answers.
fn best(home: Region, answers: &[(Region, Vec<Stock>)], sku: &str) -> Option<(Option<Region>, Stock)> {
    let of_home = market::Region::from(home);
    let found = answers.iter().filter_map(|(region, stock)| {
        let stock = stock.iter().find(|stock| stock.sku == sku && stock.home_region() == of_home)?;
        Some((stock.is_held.then_some(*region), *region == home, stock))
    });
    let (holder, _, stock) = found.max_by_key(|(holder, is_own, _)| (holder.is_some(), *is_own))?;
    Some((holder, stock.clone()))
}

async fn show(state: &State, skus: Vec<Sku>, json: bool) -> Result<Exit> {
    let (mut clients, mut failed) = (Vec::new(), None);
    for region in Region::ALL {
        match connect(state, region).await {
            Ok(client) => clients.push((region, client)),
            Err(error) => failed = Some(error),
        }
    }
    let Some((_, first)) = clients.first_mut() else { return Err(failed.context("there is no region")?) };
    if let Some(error) = failed {
        problem(format_args!("{error:#}: what is shown of its home is a copy, unless the other region holds it"));
    }
    let asked = if skus.is_empty() { all(first).await? } else { skus.iter().map(ToString::to_string).collect() };
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for page in asked.chunks(PAGE) {
        let mut answers = Vec::new();
        for (region, client) in &mut clients {
            let answer =
                client.get_stock(GetStockRequest { skus: page.to_vec() }).await.with_context(|| format!("read {region}'s stock"))?;
            answers.push((*region, answer.into_inner().stock));
        }
        for sku in page {
            let found: Vec<_> = Region::ALL.iter().filter_map(|home| Some((*home, best(*home, &answers, sku)?))).collect();
            if found.is_empty() {
                bail!("{sku} is in no region's catalog: `backbone stock show` lists what is");
            }
            rows.extend(found.iter().map(|(home, (holder, stock))| row(*home, *holder, stock)));
            values.extend(found.iter().map(|(home, (holder, stock))| value(*home, *holder, stock)));
        }
    }
    if json {
        line(serde_json::to_string_pretty(&values)?);
    } else {
        rows.insert(0, ["SKU", "HOME", "HOLDER", "STOCKED", "ON HAND", "RESERVED", "SOLD", "MOVED"].map(str::to_owned).to_vec());
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

fn row(home: Region, holder: Option<Region>, stock: &Stock) -> Vec<String> {
    let Stock { sku, stocked, on_hand, reserved, sold, moved, .. } = stock;
    let mut row = vec![sku.clone(), home.to_string(), holder.map_or_else(|| "-".to_owned(), |holder| holder.to_string())];
    row.extend([stocked, on_hand, reserved, sold, moved].map(ToString::to_string));
    row
}

fn value(home: Region, holder: Option<Region>, stock: &Stock) -> Value {
    let Stock { sku, stocked, on_hand, reserved, sold, moved, .. } = stock;
    let holder = holder.map(Region::as_str);
    json!({
        "sku": sku, "home": home.as_str(), "holder": holder, "stocked": stocked, "on_hand": on_hand, "reserved": reserved, "sold": sold,
        "moved": moved,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock(home: Region, on_hand: i64, is_held: bool) -> Stock {
        Stock { sku: "MUG".to_owned(), on_hand, home_region: market::Region::from(home).into(), is_held, ..Stock::default() }
    }

    #[test]
    fn the_holder_is_believed_before_the_copy() {
        let (eu, us) = (Region::Eu, Region::Us);
        let mut answers = vec![(eu, vec![stock(eu, 1, false), stock(us, 2, false)]), (us, vec![stock(eu, 3, true), stock(us, 4, true)])];
        let seen = |answers: &[(Region, Vec<Stock>)], home| best(home, answers, "MUG").map(|(holder, stock)| (holder, stock.on_hand));
        assert_eq!((seen(&answers, eu), seen(&answers, us)), (Some((Some(us), 3)), Some((Some(us), 4))));
        answers[1].1[0].is_held = false;
        assert_eq!(seen(&answers, eu), Some((None, 1)), "its own region, while nobody holds it");
        answers.pop();
        assert_eq!(seen(&answers, us), Some((None, 2)), "the copy, while its region is away");
        assert_eq!(best(eu, &answers, "POT"), None);
    }
}
