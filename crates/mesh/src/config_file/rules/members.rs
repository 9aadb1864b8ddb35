//! Who may be a member, and where this node stands.

use std::net::SocketAddr;

use knhk_mesh_core::identity::NotACommittee;

use super::Rules;
use crate::config_file::diagnostics::shown;
use crate::config_file::settings::committee;
use crate::config_file::suggest::nearest;
use crate::config_file::value::names_no_host;
use crate::node_task::MAX_SEEDS;

/// Addresses that a node may announce.
const MOST_ADDRESSES: usize = 4;

impl Rules<'_> {
    pub(super) fn members(&mut self) {
        let values = self.values;
        let Some(admission) = values.text("mesh.admission") else { return };
        let (listed, keyed) =
            (values.is_given("mesh.allowlist"), values.is_given("mesh.admission_key"));
        let failed = |path: &str| values.failed.contains(path);
        if listed && admission != "allowlist" {
            let message = format!("`mesh.allowlist` is given, and admission is {admission}");
            let help = "write `admission: allowlist` to admit these nodes only";
            self.conflict(values.origin("mesh.allowlist"), message, help);
        }
        let empty = values.list("mesh.allowlist").is_empty() && !failed("mesh.allowlist");
        if admission == "allowlist" && empty {
            let message = "admission is by allowlist, and the list is empty: nobody could join";
            let help = "write `allowlist:` below `mesh:`, one `- node id` for each member";
            let origin = self.first_given(&["mesh.allowlist", "mesh.admission"]);
            self.conflict(origin, message, help);
        }
        let needs_key = matches!(admission, "token" | "ca");
        if needs_key && !keyed && !failed("mesh.admission_key") {
            let message = format!("admission by {admission} needs the key that admits");
            let help = "write `admission_key: <node id>` below `mesh:`";
            self.conflict(values.origin("mesh.admission"), message, help);
        }
        self.credentials(admission);
        if let Some(bind) = values.text("node.bind").and_then(|text| text.parse().ok()) {
            self.exposure(bind, admission == "open");
        }
        let advertised = values.list("node.advertise").len();
        if advertised > MOST_ADDRESSES {
            let message = format!("{advertised} addresses are announced; allowed is 1-4");
            self.conflict(values.origin("node.advertise"), message, "keep the best four");
        }
        self.announced_addresses();
    }

    /// Whoever writes `committee: []` wants one.
    pub(super) fn committee(&mut self) {
        let values = self.values;
        let failed = values.failed.contains("mesh.committee");
        if failed || !values.is_given("mesh.committee") {
            return;
        }
        let list = values.list("mesh.committee");
        let Err(why) = committee(list) else { return };
        let origin = match why {
            // Told of every list, at the line of the second.
            NotACommittee::Twice(_) => return,
            NotACommittee::Key(key) => {
                let at = list.iter().position(|id| *id == key.to_string());
                values.item_origin("mesh.committee", at.unwrap_or_default())
            }
            _ => values.origin("mesh.committee"),
        };
        let help = "list 4, 7, 10, 13 or 16 node ids, as `knhk-mesh keygen` prints them, or \
                    delete the key";
        self.conflict(origin, format!("`mesh.committee`: {why}"), help);
    }

    /// What admission by token or authority needs, and what only they need.
    fn credentials(&mut self, admission: &str) {
        let values = self.values;
        if admission == "ca" && !values.is_given("mesh.ca_file") {
            let message = "admission by ca needs the roots that are trusted";
            let help = "write `ca_file: /etc/knhk-mesh/ca.crt` below `mesh:`; `knhk-mesh cert ca` \
                        makes one";
            self.conflict(values.origin("mesh.admission"), message, help);
        }
        let only =
            [("mesh.ca_file", "ca"), ("node.certificate", "ca"), ("node.token_file", "token")];
        for (path, needs) in only {
            if values.is_given(path) && admission != needs {
                let message = format!("`{path}` is given, and admission is {admission}");
                let help = format!("write `admission: {needs}` below `mesh:`, or delete the line");
                self.conflict(values.origin(path), message, help);
            }
        }
        let clear = values.text("network.transport") == Some("TCP");
        if clear && matches!(admission, "token" | "ca") {
            let message = format!("admission by {admission} needs TLS, and TCP has none");
            let help = "write `transport: QUIC` below `network:`";
            self.conflict(values.origin("mesh.admission"), message, help);
        }
    }

    fn exposure(&mut self, bind: SocketAddr, open: bool) {
        let values = self.values;
        let origin = values.origin("node.bind");
        let allowed = values.flag("network.insecure") != Some(false);
        if bind.ip().is_multicast() {
            let message = format!("{bind} is the address of a group, and a node is one host");
            let help = "write an address of this host, such as 127.0.0.1:9000";
            self.conflict(origin, message, help);
            return;
        }
        if open && !bind.ip().is_loopback() && !allowed {
            let message = format!(
                "admission is open and {bind} is not loopback: everybody who reaches it could write"
            );
            let help = "write `admission: allowlist` and `allowlist:` below `mesh:`; or bind to \
                        127.0.0.1; or `insecure: true` below `network:` if everybody may write";
            self.conflict(origin.clone(), message, help);
        }
        if !bind.ip().is_loopback() && !allowed && values.text("network.transport") == Some("TCP") {
            let message = format!("TCP sends in clear, and {bind} is not loopback");
            let help = "write `transport: QUIC`; or bind to 127.0.0.1; or `insecure: true` below \
                        `network:`";
            self.conflict(origin.clone(), message, help);
        }
        let nowhere = values.list("node.advertise").is_empty();
        if bind.ip().is_unspecified() && nowhere && !values.failed.contains("node.advertise") {
            let message = format!("{bind} is every address of this host: others cannot dial it");
            let help = "write where they dial: `advertise: [192.0.2.7:9000]` below `node:`";
            self.conflict(origin, message, help);
        }
    }

    fn announced_addresses(&mut self) {
        let values = self.values;
        for (i, text) in values.list("node.advertise").iter().enumerate() {
            let Ok(addr) = text.parse::<SocketAddr>() else { continue };
            if names_no_host(addr.ip()) || addr.port() == 0 {
                let message = format!("nobody can dial {addr}");
                let help = "write an address and port of this host that others reach";
                self.conflict(values.item_origin("node.advertise", i), message, help);
            }
        }
    }

    /// No shell reads the file.
    pub(super) fn paths(&mut self) {
        let values = self.values;
        for key in ["node.identity", "node.data_dir"] {
            let Some(path) = values.text(key) else { continue };
            if path.starts_with('~') || path.contains('$') {
                let message = format!("`{}` is not expanded: no shell reads this", shown(path));
                let help = "write the whole path, such as /var/lib/knhk-mesh";
                self.conflict(values.origin(key), message, help);
            }
        }
    }

    pub(super) fn seeds(&mut self) {
        let values = self.values;
        let count = values.list("bootstrap.seeds").len();
        if count > MAX_SEEDS {
            let message = format!("{count} seeds are listed, and {MAX_SEEDS} are dialled at most");
            let help = "keep a few that are always there: the others are found through them";
            self.conflict(values.item_origin("bootstrap.seeds", MAX_SEEDS), message, help);
        }
    }

    /// Region and zone of this node are among those of the file.
    pub(super) fn place_of_node(&mut self) {
        let values = self.values;
        let names: Vec<&str> = (0..values.regions)
            .filter_map(|i| values.text(&format!("regions[{i}].name")))
            .collect();
        let whole = names.len() == values.regions && !values.failed.contains("regions");
        let Some(region) = values.text("node.region").filter(|_| whole) else { return };
        let at = names.iter().position(|name| *name == region);
        if at.is_none() && !names.is_empty() {
            let message = format!("this node's region `{}` is none of the regions", shown(region));
            let help = match nearest(region, names.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("write one of {}", names.join(", ")),
            };
            self.conflict(values.origin("node.region"), message, help);
        }
        let zones = at.map_or(&[][..], |i| values.list(&format!("regions[{i}].zones")));
        if let Some(zone) = values.text("node.zone")
            && !zones.is_empty()
            && !zones.iter().any(|other| other == zone)
        {
            let message = format!("this node's zone `{}` is no zone of `{region}`", shown(zone));
            let help = format!("write one of {}", zones.join(", "));
            self.conflict(values.origin("node.zone"), message, help);
        }
    }
}
