//! Published ports: no two on one address.

use super::Scene;
use crate::read::{Report, Value};

pub(super) fn validate(scene: &mut Scene<'_>) {
    let published = &scene.server.network.publish;
    let Some(item) = scene.item(&["network", "publish"]) else { return };
    let Value::Array(elements) = &item.node.value else { return };
    // What was malformed is missing in the list: then the two no longer go together, and other mistakes come first.
    if elements.len() != published.len() {
        return;
    }
    for (i, (port, element)) in published.iter().zip(elements).enumerate() {
        let clash = published[..i].iter().find(|other| {
            let same_address = other.host.ip() == port.host.ip()
                || other.host.ip().is_unspecified()
                || port.host.ip().is_unspecified();
            same_address && other.host.port() == port.host.port()
        });
        if let Some(other) = clash {
            let message = format!("{} and {} cannot both be listened on", other.host, port.host);
            let report = Report::new("duplicate-port", message).help("give one of them another port of the host");
            scene.error(element.at, report);
        }
    }
}
