//! Which paths are eligible, and in which order. Kept by the plan, since paths come and go.

use super::score::{Score, ranks};
use super::{Action, PlanRequest, Reason};
use crate::endpoint::LocalEndpoint;
use crate::path::{LocalAddress, Path, PathId};
use crate::property::{
    InterfaceSelector, PathPreferences, Preference, PvdSelector, SelectionProperty,
};
use serde::Serialize;
use std::borrow::Cow;
use std::net::IpAddr;

/// What was decided of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PathVerdict {
    /// The path.
    pub path: PathId,
    /// Its interface.
    pub interface: String,
    /// Its place, a lower one first; `None` for a path that is out.
    pub rank: Option<u32>,
    /// Why it is out; empty for an eligible path.
    pub exclusions: Vec<Reason>,
}

impl PathVerdict {
    /// Whether the path may be used.
    pub fn is_eligible(&self) -> bool {
        self.exclusions.is_empty()
    }
}

/// Everything of a request that decides about paths.
#[derive(Clone, Debug)]
pub(super) struct PathRules {
    interfaces: PathPreferences<InterfaceSelector>,
    pvds: PathPreferences<PvdSelector>,
    metered: Preference,
    temporary: Preference,
    locals: Vec<LocalEndpoint>,
}

impl PathRules {
    pub(super) fn of(request: &PlanRequest) -> Self {
        let level = |property| request.properties.preference(property, request.action);
        PathRules {
            interfaces: request.properties.interfaces(),
            pvds: request.properties.pvds(),
            metered: level(SelectionProperty::Metered),
            temporary: level(SelectionProperty::UseTemporaryLocalAddress),
            locals: match request.action {
                // A listener may wait for an address that an interface gets later; binding tells.
                Action::Listen => Vec::new(),
                Action::Initiate | Action::Rendezvous => request.locals.clone(),
            },
        }
    }

    /// Whether each attempt must be bound to its path, because the application chose among them.
    pub(super) fn pins_paths(&self) -> bool {
        !self.interfaces.is_empty()
            || !self.pvds.is_empty()
            || self.metered != Preference::NoPreference
            || self.binds_addresses()
    }

    /// Whether only some addresses of a path may be used.
    pub(super) fn binds_addresses(&self) -> bool {
        self.temporary.is_binding()
    }

    /// The preference for temporary addresses.
    pub(super) fn temporary(&self) -> Preference {
        self.temporary
    }

    pub(super) fn judge(&self, paths: &[Path]) -> Vec<PathVerdict> {
        let exclusions: Vec<_> = paths.iter().map(|path| self.exclusions(path)).collect();
        let keys = paths
            .iter()
            .zip(&exclusions)
            .map(|(path, reasons)| reasons.is_empty().then(|| self.score(path)));
        let ranks = ranks(keys);
        paths
            .iter()
            .zip(exclusions)
            .zip(ranks)
            .map(|((path, exclusions), rank)| PathVerdict {
                path: path.id,
                interface: path.interface.clone(),
                rank,
                exclusions,
            })
            .collect()
    }

    /// The eligible paths in order, each with the addresses that it may be left by, in order.
    pub(super) fn choose(&self, paths: Vec<Path>) -> Vec<Path> {
        let verdicts = self.judge(&paths);
        let mut chosen: Vec<(u32, Path)> = paths
            .into_iter()
            .zip(verdicts)
            .filter_map(|(path, verdict)| Some((verdict.rank?, self.with_addresses(path))))
            .collect();
        chosen.sort_by_key(|(rank, _)| *rank);
        chosen.into_iter().map(|(_, path)| path).collect()
    }

    /// Local endpoints that name an address of every path, when only some addresses may be used.
    pub(super) fn local_endpoints(
        &self,
        locals: Vec<LocalEndpoint>,
        paths: &[Path],
    ) -> Vec<LocalEndpoint> {
        if !self.binds_addresses() {
            return locals;
        }
        let templates = if locals.is_empty() {
            vec![LocalEndpoint::any()]
        } else {
            locals
        };
        let mut fixed = Vec::new();
        for template in templates {
            // An address of the application's own must be one of those that may be used.
            let own = template.address.filter(|own| !own.is_unspecified());
            for path in paths.iter().filter(|path| can_leave_by(&template, path)) {
                let usable = path.addresses.iter().map(|local| local.address);
                let usable = usable.filter(|address| own.is_none_or(|own| own == *address));
                fixed.extend(usable.map(|address| LocalEndpoint {
                    address: Some(address),
                    interface: Some(path.interface.clone()),
                    ..template.clone()
                }));
            }
        }
        fixed
    }

    fn exclusions(&self, path: &Path) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for (selector, level) in self.interfaces.iter() {
            let selector_text = || selector.to_string();
            match (level, matches_interface(selector, path)) {
                (Preference::Prohibit, true) => reasons.push(Reason::InterfaceProhibited {
                    selector: selector_text(),
                }),
                (Preference::Require, false) => reasons.push(Reason::InterfaceRequired {
                    selector: selector_text(),
                }),
                _ => {}
            }
        }
        for (selector, level) in self.pvds.iter() {
            if level == Preference::Require {
                let selector = selector.to_string();
                reasons.push(Reason::PvdRequired { selector });
            }
        }
        reasons.extend(self.metered_exclusion(path));
        reasons.extend(self.address_exclusion(path));
        let is_local =
            self.locals.is_empty() || self.locals.iter().any(|local| can_leave_by(local, path));
        if !is_local {
            reasons.push(Reason::NotAtLocalEndpoint);
        }
        reasons
    }

    fn metered_exclusion(&self, path: &Path) -> Option<Reason> {
        let property = SelectionProperty::Metered;
        let (is_metered, why) = match path.is_metered {
            Some(true) => (true, "it is metered"),
            Some(false) => (false, "it is not metered"),
            // Most systems never say; taking such a path for metered would leave none.
            None => (false, "the system does not say that it is metered"),
        };
        let why = Cow::Borrowed(why);
        match self.metered {
            Preference::Require if !is_metered => Some(Reason::Required { property, why }),
            Preference::Prohibit if is_metered => Some(Reason::Prohibited { property, why }),
            _ => None,
        }
    }

    fn address_exclusion(&self, path: &Path) -> Option<Reason> {
        let property = SelectionProperty::UseTemporaryLocalAddress;
        let is_usable = path.addresses.iter().any(|local| self.may_use(local));
        match self.temporary {
            Preference::Require if !is_usable => Some(Reason::Required {
                property,
                why: Cow::Borrowed("it has no temporary address"),
            }),
            Preference::Prohibit if !is_usable => Some(Reason::Prohibited {
                property,
                why: Cow::Borrowed("it has no other address"),
            }),
            _ => None,
        }
    }

    /// RFC 9622 §6.2.13: only IPv6 has temporary addresses, so requiring one excludes IPv4.
    fn may_use(&self, local: &LocalAddress) -> bool {
        match self.temporary {
            Preference::Require => is_fresh_temporary(local),
            Preference::Prohibit => !local.is_temporary,
            Preference::Prefer | Preference::NoPreference | Preference::Avoid => true,
        }
    }

    fn with_addresses(&self, mut path: Path) -> Path {
        path.addresses.retain(|local| self.may_use(local));
        // Stable: otherwise the system's order stays.
        match self.temporary {
            Preference::Prefer => {
                path.addresses
                    .sort_by_key(|local| !is_fresh_temporary(local));
            }
            Preference::Avoid => path.addresses.sort_by_key(|local| local.is_temporary),
            Preference::Require | Preference::NoPreference | Preference::Prohibit => {}
        }
        if self.temporary == Preference::Require {
            path.has_ipv4_default = false;
        }
        path
    }

    /// Wishes for paths are never defaults: the default sets are empty (RFC 9622 §6.2.11), and a
    /// default wish for temporary addresses orders the addresses of a path, not the paths.
    fn score(&self, path: &Path) -> Score {
        let mut score = Score::default();
        for (selector, level) in self.interfaces.iter() {
            match (level, matches_interface(selector, path)) {
                (Preference::Prefer, false) => score.miss(true),
                (Preference::Avoid, true) => score.suffer(true),
                _ => {}
            }
        }
        match (self.metered, path.is_metered == Some(true)) {
            (Preference::Prefer, false) => score.miss(true),
            (Preference::Avoid, true) => score.suffer(true),
            _ => {}
        }
        score
    }
}

fn matches_interface(selector: &InterfaceSelector, path: &Path) -> bool {
    match selector {
        InterfaceSelector::Instance(name) => *name == path.interface,
        InterfaceSelector::Kind(kind) => *kind == path.kind,
    }
}

fn can_leave_by(local: &LocalEndpoint, path: &Path) -> bool {
    let is_interface = local
        .interface
        .as_deref()
        .is_none_or(|name| name == path.interface);
    // The system routes loopback addresses by itself, whatever the path.
    let is_free = |address: IpAddr| address.is_unspecified() || address.is_loopback();
    let has_address = local.address.is_none_or(|address| {
        is_free(address) || path.addresses.iter().any(|own| own.address == address)
    });
    is_interface && has_address
}

fn is_fresh_temporary(local: &LocalAddress) -> bool {
    local.is_temporary && !local.is_deprecated && local.address.is_ipv6()
}
