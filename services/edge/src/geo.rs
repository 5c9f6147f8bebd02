//! Which region is near a country. Pure.
//!
//! What stands before the edge, a CDN or a load balancer, knows the country of an address and says it in a header as ISO 3166-1 alpha-2.

use ids::Region;

/// The Americas, Oceania, and the part of Asia whose cables cross the Pacific.
const NEAR_US: &str = "AG AI AR AW BB BL BM BO BQ BR BS BZ CA CL CO CR CU CW DM DO EC FK GD GF GL GP GT GY HN HT JM KN KY LC MF MQ MS MX NI PA \
    PE PM PR PY SR SV SX TC TT US UY VC VE VG VI \
    AS AU CC CK CX FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS \
    BN CN HK ID JP KH KP KR LA MM MN MO MY PH SG TH TL TW VN";

/// Europe, Africa, the Middle East, and the rest of Asia.
const NEAR_EU: &str = "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME MK MT NL NO \
    PL PT RO RS RU SE SI SJ SK SM UA VA XK \
    AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW IO KE KM LR LS LY MA MG ML MR MU MW MZ NA NE NG RE RW SC SD SH SL \
    SN SO SS ST SZ TD TF TG TN TZ UG YT ZA ZM ZW \
    AE AF AM AZ BD BH BT GE IL IN IQ IR JO KG KW KZ LB LK MV NP OM PK PS QA SA SY TJ TM TR UZ YE";

/// The region near a country. None for what is no country, such as `XX` for "not known" and `T1` for Tor.
pub(crate) fn region(country: &str) -> Option<Region> {
    let country = country.trim().to_ascii_uppercase();
    let has = |list: &str| list.split_whitespace().any(|code| code == country);
    match () {
        () if has(NEAR_EU) => Some(Region::Eu),
        () if has(NEAR_US) => Some(Region::Us),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_country_is_near_one_region() {
        let codes: Vec<_> = NEAR_EU.split_whitespace().chain(NEAR_US.split_whitespace()).collect();
        assert!(codes.iter().all(|code| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())));
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
        for (country, near) in [("DE", Region::Eu), ("za", Region::Eu), ("IN", Region::Eu), ("US", Region::Us), (" br ", Region::Us)] {
            assert_eq!(region(country), Some(near), "{country}");
        }
    }

    #[test]
    fn what_is_no_country_is_near_none() {
        for text in ["", "XX", "T1", "ZZ", "EU", "DEU", "D", "DE US", "Ä"] {
            assert_eq!(region(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = region(&text);
        }
    }
}
