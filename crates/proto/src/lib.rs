//! The contract between services: one copy, generated from `proto/` at build time.
//!
//! Modules follow the proto packages: `proto::order::v1`, `proto::events::order::v1`.

/// All files with their comments stripped, as the reflection service wants them.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! package {
    ($($path:ident).+, $file:literal) => {
        package!(@nest $file, $($path)+);
    };
    (@nest $file:literal, $last:ident) => {
        /// Version 1 of the package.
        pub mod $last { tonic::include_proto!($file); }
    };
    (@nest $file:literal, $first:ident $($rest:ident)+) => {
        /// Package of the service.
        pub mod $first { package!(@nest $file, $($rest)+); }
    };
}

package!(market.v1, "market.v1");
package!(cart.v1, "cart.v1");
package!(checkout.v1, "checkout.v1");
package!(inventory.v1, "inventory.v1");
package!(payment.v1, "payment.v1");
package!(order.v1, "order.v1");
package!(search.v1, "search.v1");
package!(region.v1, "region.v1");

/// What the services say on the spine.
pub mod events {
    package!(cart.v1, "events.cart.v1");
    package!(inventory.v1, "events.inventory.v1");
    package!(order.v1, "events.order.v1");
    package!(payment.v1, "events.payment.v1");
}

mod convert;

pub use prost_types::method_options::IdempotencyLevel;

/// The path of every RPC of the contract, e.g. `/order.v1.OrderService/PlaceOrder`, and whether it may be called again.
///
/// # Panics
/// Never: the descriptors are of this build.
pub fn methods() -> impl Iterator<Item = (String, IdempotencyLevel)> {
    let set = <prost_types::FileDescriptorSet as prost::Message>::decode(DESCRIPTORS).expect("the build wrote its own descriptors");
    set.file.into_iter().flat_map(|file| {
        let package = file.package().to_owned();
        file.service.into_iter().flat_map(move |service| {
            let prefix = format!("/{package}.{}", service.name());
            service.method.into_iter().map(move |method| {
                let level = method.options.as_ref().map(prost_types::MethodOptions::idempotency_level).unwrap_or_default();
                (format!("{prefix}/{}", method.name()), level)
            })
        })
    })
}
