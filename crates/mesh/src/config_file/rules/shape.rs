//! Regions, numbers of agents, levels: the products of the shape against what was expected.

use std::collections::HashMap;

use super::Rules;
use crate::config_file::diagnostics::shown;
use crate::config_file::place::Origin;
use crate::config_file::topology::Topology;
use crate::config_file::value::NumberRange;

const GLOBAL_REGIONS: &str = "hierarchy.level1_global.regions";
const COORDINATORS: &str = "hierarchy.level1_global.coordinators";
const AGGREGATORS: &str = "hierarchy.level2_regional.aggregators_per_region";
const BELOW_AGGREGATOR: &str = "hierarchy.level2_regional.agents_per_aggregator";
const EDGES: &str = "hierarchy.level3_edge.edge_nodes_per_aggregator";
const BELOW_EDGE: &str = "hierarchy.level3_edge.agents_per_edge";

impl Rules<'_> {
    pub(super) fn regions(&mut self) {
        let values = self.values;
        let mut first: HashMap<&str, usize> = HashMap::new();
        for i in 0..values.regions {
            let path = format!("regions[{i}].name");
            let Some(name) = values.text(&path) else { continue };
            if let Some(other) = first.insert(name, i) {
                let message =
                    format!("regions {} and {} are both `{}`", other + 1, i + 1, shown(name));
                self.conflict(values.origin(&path), message, "give each region its own name");
            }
            let (voters, agents) =
                (format!("regions[{i}].leader_count"), format!("regions[{i}].agents"));
            if values.is_given(&voters)
                && let (Some(count), Some(agents)) = (values.number(&voters), values.range(&agents))
                && count > agents.max
            {
                let message = format!("{count} leaders cannot come from {agents} agents");
                let help = "write `leader_count: 1`, or more `agents`";
                self.conflict(values.origin(&voters), message, help);
            }
        }
        self.number_of_regions();
    }

    fn number_of_regions(&mut self) {
        let values = self.values;
        let Some(topology) = values.topology().filter(|_| !values.failed.contains("regions"))
        else {
            return;
        };
        let count = values.regions;
        let second = values.origin("regions[1].name");
        match topology {
            Topology::FlatMesh | Topology::SingleRegionMesh if count > 1 => {
                let message = format!("{topology} has one region, and {count} are listed");
                let help = "keep one region, or write `topology: multi_region_leaders`";
                self.conflict(second, message, help);
            }
            Topology::MultiRegionLeaders if count < 2 => {
                let message =
                    format!("{topology} needs two regions or more, and {count} is listed");
                let help = "list the regions below `regions:`, or write \
                            `topology: single_region_mesh`";
                self.conflict(values.origin("topology"), message, help);
            }
            Topology::Hierarchical if count > 0 => {
                if let Some(wanted) = values.number(GLOBAL_REGIONS).filter(|n| *n != count as u64) {
                    let origin = self.first_given(&[GLOBAL_REGIONS, "regions[0].name", "topology"]);
                    let message =
                        format!("the top level has {wanted} regions, and {count} are listed");
                    let help = format!(
                        "write `regions: {count}` below `level1_global:`, or list all; without a \
                         list they are region-1 .. region-{wanted}"
                    );
                    self.conflict(origin, message, help);
                }
            }
            _ => {}
        }
    }

    /// The regions together are as many as expected.
    pub(super) fn counts(&mut self) {
        let values = self.values;
        let Some(expected) = values.range("agent_count") else { return };
        if values.regions == 0 || values.failed.contains("regions") {
            return;
        }
        let paths: Vec<String> =
            (0..values.regions).map(|i| format!("regions[{i}].agents")).collect();
        if paths.iter().any(|path| values.failed.contains(path)) {
            return;
        }
        let known: Vec<NumberRange> = paths.iter().filter_map(|path| values.range(path)).collect();
        let sum = |of: fn(&NumberRange) -> u64| known.iter().map(of).fold(0, u64::saturating_add);
        let together = NumberRange { min: sum(|range| range.min), max: sum(|range| range.max) };
        let all_known = known.len() == values.regions;
        let too_many = together.max > expected.max;
        if too_many || (all_known && together.max < expected.min) {
            let than = if too_many { "more" } else { "fewer" };
            let message = format!(
                "`agent_count` is {expected}, and the regions have {together} agents together, \
                 {than} than that"
            );
            let help = format!("write `agent_count: {together}`, or other `agents` of the regions");
            self.conflict(values.origin("agent_count"), message, help);
        }
    }

    /// Levels: what is below an aggregator is counted in two ways, and all of it a third time.
    pub(super) fn levels(&mut self) {
        let values = self.values;
        if values.topology() != Some(Topology::Hierarchical) {
            return;
        }
        self.below_an_aggregator();
        self.all_agents();
        self.reports("gossip.edge_to_aggregator", AGGREGATORS, "aggregators in a region");
        self.reports("gossip.aggregator_to_coordinator", COORDINATORS, "coordinators");
    }

    fn below_an_aggregator(&mut self) {
        let values = self.values;
        let (Some(below), Some(edges), Some(each)) =
            (values.number(BELOW_AGGREGATOR), values.number(EDGES), values.number(BELOW_EDGE))
        else {
            return;
        };
        if edges * each != below {
            let origin = self.first_given(&[BELOW_AGGREGATOR, BELOW_EDGE, EDGES, "topology"]);
            let message = format!(
                "an aggregator has {edges} edges of {each} agents, which is {}, and \
                 `agents_per_aggregator` is {below}",
                edges * each
            );
            let help = format!("write `agents_per_aggregator: {}`, or other edges", edges * each);
            self.conflict(origin, message, help);
        }
    }

    fn all_agents(&mut self) {
        let values = self.values;
        let (Some(expected), Some(regions), Some(aggregators), Some(below)) = (
            values.range("agent_count"),
            values.number(GLOBAL_REGIONS),
            values.number(AGGREGATORS),
            values.number(BELOW_AGGREGATOR),
        ) else {
            return;
        };
        let all = regions * aggregators * below;
        if all < expected.min || all > expected.max {
            let message = format!(
                "`agent_count` is {expected}, and {regions} regions x {aggregators} aggregators x \
                 {below} agents are {all}"
            );
            let help =
                format!("write `agent_count: {all}` or a range around it, or another hierarchy");
            self.conflict(values.origin("agent_count"), message, help);
        }
    }

    fn reports(&mut self, to: &str, among: &str, what: &str) {
        let values = self.values;
        let (Some(wanted), Some(there)) = (values.number(to), values.number(among)) else { return };
        if wanted > there {
            let origin = match self.first_given(&[to, among]) {
                Origin::Default => values.origin("topology"),
                origin => origin,
            };
            let message = format!("`{to}` is {wanted}, and there are {there} {what}");
            self.conflict(origin, message, format!("write a number in 1-{there}"));
        }
    }
}
