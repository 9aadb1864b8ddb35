//! Transport, TLS, frames, timing and telemetry.

use super::Rules;
use crate::config_file::topology::Topology;
use crate::config_file::value::Value;

/// Heartbeats that a follower must miss before it stands for election.
const LEAST_HEARTBEATS: u64 = 3;

impl Rules<'_> {
    pub(super) fn links(&mut self) {
        let values = self.values;
        if let Some(transport) = values.text("network.transport") {
            self.encryption(transport == "QUIC");
        }
        if values.flag("network.batching") == Some(false)
            && values.is_given("network.batch_size")
            && let Some(size) = values.number("network.batch_size").filter(|size| *size > 1)
        {
            let origin = values.origin("network.batch_size");
            let message = format!("frames of {size} records contradict `network.batching: false`");
            self.conflict(origin, message, "delete `batch_size`, or write `batching: true`");
        }
    }

    fn encryption(&mut self, quic: bool) {
        let values = self.values;
        let tls = values.flag("network.tls");
        let pair = ["network.tls", "network.transport"];
        if quic && tls == Some(false) {
            let message = "QUIC has no form without TLS, and `network.tls` is false";
            let help = "write `tls: true`; or `transport: TCP` for development on loopback";
            self.conflict(self.first_given(&pair), message, help);
        }
        if !quic && tls == Some(true) {
            let message = "TCP is in clear here, and `network.tls` is true";
            let help = "write `transport: QUIC`, which always has TLS 1.3; or `tls: false`";
            self.conflict(self.first_given(&pair), message, help);
        }
        let mtls = values.flag("security.mtls");
        if quic && mtls == Some(false) {
            let message = "`security.mtls` is false, and a node is known by the key that it proves";
            let help = "write `mtls: true`, or delete the line";
            self.conflict(values.origin("security.mtls"), message, help);
        }
        if !quic && mtls == Some(true) {
            let message = "`security.mtls` is true, and TCP has no TLS";
            let help = "write `transport: QUIC`, or delete the line";
            self.conflict(values.origin("security.mtls"), message, help);
        }
        if !quic && values.is_given("security.encryption") {
            let message = "`security.encryption` chooses a suite of TLS, and TCP has no TLS";
            let help = "write `transport: QUIC`, or delete the line";
            self.conflict(values.origin("security.encryption"), message, help);
        }
    }

    pub(super) fn timing(&mut self) {
        let values = self.values;
        let (Some(heartbeat), Some(failover)) =
            (values.number("leaders.heartbeat_ms"), values.number("leaders.failover_timeout_ms"))
        else {
            return;
        };
        let least = heartbeat.saturating_mul(LEAST_HEARTBEATS);
        if failover < least {
            let origin = self.first_given(&["leaders.failover_timeout_ms", "leaders.heartbeat_ms"]);
            let message = format!(
                "a failover within {failover} ms leaves no room for {LEAST_HEARTBEATS} heartbeats \
                 of {heartbeat} ms: one lost packet would end a leadership"
            );
            let help = format!(
                "write `failover_timeout_ms: {least}` or more, or `heartbeat_ms: {}` or less",
                (failover / LEAST_HEARTBEATS).max(10)
            );
            self.conflict(origin, message, help);
        }
    }

    pub(super) fn telemetry(&mut self) {
        let values = self.values;
        let (one, each) = ("observability.otel_endpoint", "observability.otel_endpoints");
        if values.is_given(one) && values.is_given(each) {
            let message = "`otel_endpoint` and `otel_endpoints` both say where telemetry goes";
            self.conflict(values.origin(each), message, "keep one of them");
        }
        let per_region = "observability.otel_collector_per_region";
        if values.flag(per_region) == Some(true)
            && let Some(endpoint) = values.text(one).filter(|text| !text.contains("{region}"))
        {
            let message = format!("each region has its collector, and `{endpoint}` is only one");
            let help = "write {region} where the region's name goes: otel.{region}.internal:4317";
            self.conflict(values.origin(one), message, help);
        }
        let Some(setting) = values.get(each) else { return };
        let Value::Endpoints(endpoints) = &setting.value else { return };
        let names: Vec<&str> = (0..values.regions)
            .filter_map(|i| values.text(&format!("regions[{i}].name")))
            .collect();
        if values.topology() == Some(Topology::Hierarchical) && names.is_empty() {
            return;
        }
        for (i, (region, _)) in endpoints.iter().enumerate() {
            if !values.failed.contains("regions") && !names.contains(&region.as_str()) {
                let message = format!("`otel_endpoints` names `{region}`, which is no region");
                let help = format!("write one of {}", names.join(", "));
                self.conflict(values.item_origin(each, i), message, help);
            }
        }
    }
}
