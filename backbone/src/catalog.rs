//! The items the shop opens with: 200, the same on every machine.

use ids::Region;

/// `category | product | code | cents | sentence | four variants`
const LINES: &str = "\
kitchen|Mug|MUG|1490|Holds 350 ml, sits well in the hand and survives the dishwasher.|Stoneware,Enamel,Porcelain,Glass
kitchen|Chef's Knife|KNIFE|6900|A 20 cm blade, ground thin and balanced at the bolster.|Damascus,Carbon,Ceramic,Santoku
kitchen|Skillet|SKILLET|4500|For every hob and the oven; gets better with each year of use.|Cast Iron,Carbon Steel,Copper,Nonstick
kitchen|Kettle|KETTLE|5900|Boils a litre in three minutes and pours without a drip.|Steel,Copper,Gooseneck,Enamel
kitchen|Cutting Board|BOARD|3200|Kind to knives, with a groove for juice and feet that do not slip.|Oak,Walnut,Bamboo,Beech
table|Dinner Plate|PLATE|1850|27 cm across, stacks flat, and no two glazes are quite alike.|Speckled,Indigo,Sage,Chalk
table|Serving Bowl|BOWL|2790|Large enough for a salad for six.|Acacia,Stoneware,Glass,Olive Wood
table|Carafe|CARAFE|2400|One litre, mouth-blown, with a lid that doubles as a glass.|Clear,Smoke,Amber,Ribbed
table|Tablecloth|CLOTH|4900|Washed before it is sewn, so it stays the size you bought.|Linen,Cotton,Striped,Checked
table|Candle Holder|CANDLE|1690|Takes a standard candle; heavy enough to stay where it is put.|Brass,Iron,Marble,Oak
office|Notebook|NOTEBOOK|990|192 pages of 100 g paper that ink does not bleed through.|Dotted,Ruled,Plain,Squared
office|Fountain Pen|PEN|4900|A steel nib that writes at the first touch, converter included.|Fine,Medium,Broad,Italic
office|Desk Lamp|LAMP|7900|Warm to daylight, dims to a glow, stays where you point it.|Brass,Black,White,Sage
office|Desk Organizer|TRAY|2990|A place for cables, cards and the pen that is always gone.|Oak,Cork,Felt,Steel
office|Office Chair|CHAIR|28900|Adjusts in nine ways and holds its shape for ten years.|Mesh,Wool,Leather,Kneeling
audio|Headphones|HEADPHONES|14900|Closed, light, forty hours on a charge.|Studio,Travel,Open Back,Kids
audio|Bookshelf Speaker|SPEAKER|19900|A pair that fills a room without shouting.|Walnut,Oak,Matte Black,White
audio|Turntable|TURNTABLE|34900|Belt drive, replaceable cartridge, and a lid against dust.|Classic,Suitcase,Automatic,Direct Drive
audio|Radio|RADIO|8900|Finds a station and keeps it, in the kitchen or on a boat.|Portable,Shower,World,Retro
audio|Microphone|MIC|9900|Plugs into a laptop and leaves the room out of the recording.|Condenser,Dynamic,Lavalier,Ribbon
outdoor|Tent|TENT|24900|Up in four minutes, dry in a storm.|One Person,Two Person,Family,Bivouac
outdoor|Sleeping Bag|SLEEP|12900|Packs to the size of a loaf of bread.|Summer,Three Season,Winter,Quilt
outdoor|Backpack|PACK|11900|Carries its weight on the hips, not the shoulders.|Day,Trail,Expedition,Roll Top
outdoor|Water Bottle|BOTTLE|2490|Cold for a day, hot for half of one.|Steel,Titanium,Insulated,Filter
outdoor|Headlamp|HEADLAMP|3900|Red light for the tent, a beam for the way to it.|Trail,Running,Rechargeable,Mini
garden|Pruner|PRUNER|3400|Cuts a thumb-thick branch clean; every part can be replaced.|Bypass,Anvil,Ratchet,Left Handed
garden|Watering Can|WATER|2900|Eight litres and a rose that rains rather than pours.|Zinc,Copper,Indoor,Enamel
garden|Planter|PLANTER|2290|Frost-proof, with a hole where it is needed.|Terracotta,Concrete,Cedar,Woven
garden|Trowel|TROWEL|1590|One piece of steel, so it cannot come off its handle.|Steel,Copper,Narrow,Bulb
garden|Seed Box|SEED|1290|Twelve kinds that were saved, not bred, with notes for each.|Herbs,Vegetables,Wildflowers,Salads
home|Throw Blanket|THROW|6900|130 by 180 cm, warm in winter and light enough for June.|Merino,Alpaca,Cotton,Mohair
home|Cushion|CUSHION|3290|Feather inside, a hidden zip, a cover that can be washed.|Velvet,Linen,Boucle,Corduroy
home|Wall Clock|CLOCK|4490|Silent movement; you will hear nothing at three in the morning.|Oak,Concrete,Brass,Station
home|Vase|VASE|2690|For one stem or for an armful.|Bud,Ribbed,Tall,Recycled
home|Rug|RUG|15900|Hand-woven, lies flat from the first day.|Wool,Jute,Kilim,Cotton
bath|Towel|TOWEL|2190|600 g per square metre; dries you before it is wet.|Bath,Hand,Waffle,Hammam
bath|Soap Bar|SOAP|690|Cured for six weeks, lasts for as many.|Lavender,Cedar,Olive,Charcoal
bath|Bath Mat|MAT|2490|Stays put, and dries by the evening.|Cotton,Teak,Stone,Bamboo
bath|Shower Brush|BRUSH|1190|Reaches the spot that you cannot.|Beech,Sisal,Cactus,Silicone
bath|Robe|ROBE|7900|Deep pockets, a collar that stands, a belt that stays on.|Waffle,Terry,Linen,Flannel
games|Board Game|GAME|3990|An hour for two to five players, and an argument to remember.|Harbour,Railway,Orchard,Lighthouse
games|Puzzle|PUZZLE|1990|1,000 pieces that click; not one of them missing.|Alps,Archipelago,Night Sky,Market
games|Chess Set|CHESS|5900|Weighted and felted, in a box that is also the board.|Travel,Tournament,Magnetic,Walnut
games|Playing Cards|CARDS|890|Linen finish, plain faces, a tuck box that lasts.|Classic,Botanical,Tarot,Waterproof
games|Wooden Toy|TOY|2290|Beech, water-based paint, no batteries.|Train,Blocks,Tractor,Ark
pantry|Coffee Beans|COFFEE|1390|Roasted on Monday, 500 g, whole.|Espresso,Filter,Decaf,House
pantry|Loose Tea|TEA|1190|100 g from one garden, picked this spring.|Assam,Sencha,Oolong,Rooibos
pantry|Olive Oil|OIL|1790|Cold-pressed within hours of the harvest, half a litre.|Mild,Fruity,Peppery,Lemon
pantry|Chocolate|CHOC|390|Three ingredients, 80 g.|Dark,Milk,Hazelnut,Sea Salt
pantry|Honey|HONEY|950|From hives we can name, 350 g.|Acacia,Heather,Forest,Lime Blossom";

/// An item and what each region has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogItem {
    /// `MUG-STONEWARE-01`.
    pub sku: String,
    /// `Stoneware Mug`.
    pub title: String,
    /// A sentence or two.
    pub description: String,
    /// One word.
    pub category: &'static str,
    /// Price in cents.
    pub price_minor: i64,
    number: i64,
}

impl CatalogItem {
    /// Units in a region: thousands of most, a handful of every seventeenth.
    #[must_use]
    pub fn stock(&self, region: Region) -> i64 {
        let spread = self.number * 7919 + if region == Region::Us { 4001 } else { 0 };
        if self.number % 17 == 3 { 3 + spread % 15 } else { 500 + spread % 4501 }
    }
}

/// All items, in the order of the table.
///
/// # Panics
/// When a line of the table does not have its six fields.
#[must_use]
pub fn items() -> Vec<CatalogItem> {
    let mut items = Vec::with_capacity(200);
    for line in LINES.lines() {
        let fields: Vec<&'static str> = line.split('|').collect();
        let [category, product, code, cents, sentence, variants] = fields[..] else { panic!("a line has six fields: {line}") };
        let base: i64 = cents.parse().expect("the fourth field is a number");
        for (step, variant) in (0_i64..).zip(variants.split(',')) {
            let number = i64::try_from(items.len()).unwrap_or(i64::MAX);
            items.push(CatalogItem {
                sku: format!("{code}-{}-{:02}", variant.to_uppercase().replace(' ', "-"), step + 1),
                title: format!("{variant} {product}"),
                description: format!("{sentence} {}", detail(number)),
                category,
                // Each variant costs a tenth more than the one before.
                price_minor: base + (base * step / 10) / 10 * 10,
                number,
            });
        }
    }
    items
}

fn detail(number: i64) -> &'static str {
    match number % 5 {
        0 => "Sent in plain cardboard, without plastic.",
        1 => "Made in a workshop of eleven people.",
        2 => "Comes with a five-year guarantee.",
        3 => "Spare parts are kept for ten years.",
        _ => "A favourite of those who run this shop.",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_200_items_each_with_a_sku_of_its_own() {
        let items = items();
        assert_eq!(items.len(), 200);
        let skus: BTreeSet<_> = items.iter().map(|item| item.sku.parse::<ids::Sku>().unwrap()).collect();
        assert_eq!(skus.len(), 200);
        assert!(items.iter().any(|item| item.sku == "MUG-STONEWARE-01"));
    }

    #[test]
    fn prices_and_stock_are_within_what_the_shop_shows() {
        let items = items();
        assert!(items.iter().all(|item| (300..=50_000).contains(&item.price_minor)), "{items:?}");
        for region in Region::ALL {
            let scarce = items.iter().filter(|item| item.stock(region) <= 17).count();
            assert!((8..=16).contains(&scarce));
            assert!(items.iter().all(|item| (3..=5000).contains(&item.stock(region))));
        }
    }
}
