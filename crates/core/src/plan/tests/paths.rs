//! Which paths are in or out for which reason, and their order.

use super::*;

fn three() -> Vec<Path> {
    vec![
        path(1, "lte0", InterfaceKind::Cellular),
        path(2, "wlan0", InterfaceKind::WiFi),
        path(3, "eth0", InterfaceKind::Ethernet),
    ]
}

fn over(paths: Vec<Path>, set: &[(&str, &str)]) -> Result<Plan, PlanError> {
    let mut request = initiate(SecurityParameters::tls());
    request.paths = paths;
    for (name, value) in set {
        request.properties.set(*name, *value).unwrap();
    }
    Plan::new(request)
}

fn reasons(plan: Result<Plan, PlanError>) -> Vec<Vec<Reason>> {
    let verdicts = match plan {
        Ok(plan) => plan.path_verdicts().to_vec(),
        Err(PlanError::NoPath { verdicts }) => verdicts,
        Err(other) => panic!("{other}"),
    };
    verdicts
        .into_iter()
        .map(|verdict| verdict.exclusions)
        .collect()
}

#[test]
fn without_wishes_all_paths_are_in_and_routing_decides() {
    let plan = over(three(), &[]).unwrap();
    assert_eq!(interfaces(&plan), ["lte0", "wlan0", "eth0"]);
    assert!(!plan.pins_paths());
    assert!(
        plan.path_verdicts()
            .iter()
            .all(|v| v.is_eligible() && v.rank == Some(0))
    );
    assert!(
        over(Vec::new(), &[]).unwrap().paths().is_empty(),
        "a path is waited for"
    );
}

#[test]
fn interface_preferences_exclude_and_order() {
    for (set, expected) in [
        ("require:eth0", &["eth0"][..]),
        ("require:type:wifi", &["wlan0"]),
        ("prohibit:lte0", &["wlan0", "eth0"]),
        ("prohibit:type:cellular", &["wlan0", "eth0"]),
        ("prefer:eth0", &["eth0", "lte0", "wlan0"]),
        ("prefer:type:wifi", &["wlan0", "lte0", "eth0"]),
        ("avoid:lte0", &["wlan0", "eth0", "lte0"]),
        ("prefer:eth0,avoid:lte0", &["eth0", "wlan0", "lte0"]),
        ("require:eth0,require:type:ethernet", &["eth0"]),
    ] {
        let plan = over(three(), &[("interface", set)]).unwrap();
        assert_eq!(interfaces(&plan), expected, "{set}");
        assert!(plan.pins_paths(), "{set}");
    }
}

#[test]
fn excluded_paths_say_why() {
    let selector = |text: &str| text.to_owned();
    let found = reasons(over(
        three(),
        &[("interface", "require:eth0,prohibit:type:wifi")],
    ));
    let required = Reason::InterfaceRequired {
        selector: selector("eth0"),
    };
    let prohibited = Reason::InterfaceProhibited {
        selector: selector("type:wifi"),
    };
    assert_eq!(
        found,
        [vec![required.clone()], vec![required, prohibited], vec![]]
    );
    let plan = over(three(), &[("interface", "require:eth0")]).unwrap();
    let eligible: Vec<bool> = plan
        .path_verdicts()
        .iter()
        .map(PathVerdict::is_eligible)
        .collect();
    assert_eq!(eligible, [false, false, true]);
    let error = over(three(), &[("interface", "require:eth7")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no path satisfies the request; lte0: interface eth7 is required; \
         wlan0: interface eth7 is required; eth0: interface eth7 is required"
    );
}

#[test]
fn an_unknown_provisioning_domain_can_only_be_required_in_vain() {
    let pvd = |set| over(three(), &[("pvd", set)]);
    let selector = "pvd.example".to_owned();
    assert_eq!(
        reasons(pvd("require:pvd.example"))[0],
        [Reason::PvdRequired { selector }]
    );
    for set in [
        "prohibit:pvd.example",
        "prefer:pvd.example",
        "avoid:pvd.example",
    ] {
        let plan = pvd(set).unwrap();
        assert_eq!(plan.paths().len(), 3, "{set}");
        assert!(plan.pins_paths());
    }
}

#[test]
fn metered_paths_are_judged_by_what_the_system_says() {
    let mut paths = three();
    paths[0].is_metered = Some(true);
    paths[1].is_metered = Some(false);
    for (level, expected) in [
        ("require", &["lte0"][..]),
        ("prohibit", &["wlan0", "eth0"]),
        ("prefer", &["lte0", "wlan0", "eth0"]),
        ("avoid", &["wlan0", "eth0", "lte0"]),
        ("no-preference", &["lte0", "wlan0", "eth0"]),
    ] {
        let plan = over(paths.clone(), &[("_portway.metered", level)]).unwrap();
        assert_eq!(interfaces(&plan), expected, "{level}");
        assert_eq!(plan.pins_paths(), level != "no-preference");
    }
    paths.rotate_left(1);
    let plan = over(paths.clone(), &[("_portway.metered", "prefer")]).unwrap();
    assert_eq!(interfaces(&plan), ["lte0", "wlan0", "eth0"]);
    let found = reasons(over(paths, &[("_portway.metered", "require")]));
    let text = |index: usize| found[index][0].to_string();
    assert_eq!(
        text(0),
        "_portway.metered is required, but it is not metered"
    );
    assert!(text(1).contains("does not say"), "{}", text(1));
}

fn with_temporary() -> Vec<Path> {
    let mut paths = three();
    paths[0].addresses = vec![address("192.0.2.1"), address("2001:db8::1")];
    paths[1].addresses = vec![
        address("192.0.2.2"),
        address("2001:db8::2"),
        temporary("2001:db8::2:2"),
    ];
    paths[2].addresses = vec![temporary("2001:db8::3:3")];
    paths
}

fn addresses(path: &Path) -> Vec<String> {
    path.addresses
        .iter()
        .map(|local| local.address.to_string())
        .collect()
}

#[test]
fn required_temporary_addresses_leave_no_other_address() {
    let plan = over(with_temporary(), &[("useTemporaryLocalAddress", "require")]).unwrap();
    assert_eq!(interfaces(&plan), ["wlan0", "eth0"]);
    assert_eq!(addresses(&plan.paths()[0]), ["2001:db8::2:2"]);
    assert!(
        plan.paths()
            .iter()
            .all(|path| !path.has_ipv4_default && path.has_ipv6_default)
    );
    assert!(plan.pins_paths());
    let locals: Vec<String> = plan.locals().iter().map(ToString::to_string).collect();
    assert_eq!(locals, ["[2001:db8::2:2%wlan0]", "[2001:db8::3:3%eth0]"]);
    let out = reasons(Ok(plan))[0][0].to_string();
    assert!(out.contains("no temporary address"), "{out}");
}

#[test]
fn prohibited_temporary_addresses_leave_the_others() {
    let plan = over(
        with_temporary(),
        &[("useTemporaryLocalAddress", "prohibit")],
    )
    .unwrap();
    assert_eq!(interfaces(&plan), ["lte0", "wlan0"]);
    assert_eq!(addresses(&plan.paths()[1]), ["192.0.2.2", "2001:db8::2"]);
    assert!(plan.paths().iter().all(|path| path.has_ipv4_default));
    assert_eq!(plan.locals().len(), 4);
    let out = reasons(Ok(plan))[2][0].to_string();
    assert!(out.contains("no other address"), "{out}");
}

#[test]
fn preferred_and_avoided_temporary_addresses_are_ordered() {
    let mut paths = with_temporary();
    paths[1].addresses.rotate_right(1);
    for (level, expected) in [
        ("prefer", ["2001:db8::2:2", "192.0.2.2", "2001:db8::2"]),
        ("avoid", ["192.0.2.2", "2001:db8::2", "2001:db8::2:2"]),
        (
            "no-preference",
            ["2001:db8::2:2", "192.0.2.2", "2001:db8::2"],
        ),
    ] {
        let plan = over(paths.clone(), &[("useTemporaryLocalAddress", level)]).unwrap();
        assert_eq!(addresses(&plan.paths()[1]), expected, "{level}");
        assert_eq!(interfaces(&plan), ["lte0", "wlan0", "eth0"], "{level}");
        assert!(!plan.pins_paths() && plan.locals().is_empty(), "{level}");
    }
    let plan = over(with_temporary(), &[("useTemporaryLocalAddress", "prefer")]).unwrap();
    assert_eq!(addresses(&plan.paths()[1])[0], "2001:db8::2:2");
}

#[test]
fn deprecated_and_ipv4_addresses_are_no_usable_temporary_ones() {
    for change in [
        |local: &mut LocalAddress| local.is_deprecated = true,
        |local: &mut LocalAddress| local.address = ip("192.0.2.3"),
        |local: &mut LocalAddress| local.is_temporary = false,
    ] {
        let mut paths = vec![with_temporary().remove(2)];
        assert!(over(paths.clone(), &[("useTemporaryLocalAddress", "require")]).is_ok());
        change(&mut paths[0].addresses[0]);
        let plan = over(paths, &[("useTemporaryLocalAddress", "require")]);
        assert!(matches!(plan, Err(PlanError::NoPath { .. })));
    }
}

#[test]
fn bound_addresses_cannot_be_waited_for() {
    for level in ["require", "prohibit"] {
        let error = over(Vec::new(), &[("useTemporaryLocalAddress", level)]).unwrap_err();
        assert_eq!(
            error,
            PlanError::NoPath {
                verdicts: Vec::new()
            }
        );
        assert!(error.to_string().contains("no path is known"));
    }
    for level in ["prefer", "avoid"] {
        assert!(over(Vec::new(), &[("useTemporaryLocalAddress", level)]).is_ok());
    }
    assert!(
        over(Vec::new(), &[("interface", "require:eth0")]).is_ok(),
        "it may appear"
    );
}

#[test]
fn local_endpoints_keep_what_they_fixed_beside_the_address() {
    let mut request = initiate(SecurityParameters::tls());
    request.paths = with_temporary();
    request.properties = neutral().require(SelectionProperty::UseTemporaryLocalAddress);
    let locals = |texts: &[&str]| {
        let mut request = request.clone();
        request.locals = texts.iter().map(|text| local(text)).collect();
        Plan::new(request).map(|plan| {
            plan.locals()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(locals(&["*%wlan0:7"]).unwrap(), ["[2001:db8::2:2%wlan0]:7"]);
    assert_eq!(locals(&["[::]:7"]).unwrap().len(), 2);
    assert_eq!(
        locals(&["[2001:db8::3:3]:7"]).unwrap(),
        ["[2001:db8::3:3%eth0]:7"]
    );
    let error = locals(&["[2001:db8::2]:7"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "useTemporaryLocalAddress=require contradicts the addresses of the local endpoints"
    );
}

#[test]
fn an_active_open_leaves_by_a_path_of_its_local_endpoints() {
    let mut paths = three();
    paths[2].addresses = vec![address("198.51.100.3")];
    let by = |texts: &[&str]| {
        let mut request = initiate(SecurityParameters::tls());
        request.paths = paths.clone();
        request.locals = texts.iter().map(|text| local(text)).collect();
        Plan::new(request)
    };
    let all = ["lte0", "wlan0", "eth0"];
    assert_eq!(interfaces(&by(&["*%wlan0:0"]).unwrap()), ["wlan0"]);
    assert_eq!(
        interfaces(&by(&["*%wlan0:0", "*%eth0:0"]).unwrap()),
        ["wlan0", "eth0"]
    );
    assert_eq!(interfaces(&by(&["198.51.100.3:0"]).unwrap()), ["eth0"]);
    assert_eq!(interfaces(&by(&["0.0.0.0:0"]).unwrap()), all);
    assert_eq!(interfaces(&by(&["127.0.0.1:0"]).unwrap()), all);
    assert_eq!(interfaces(&by(&["*:0"]).unwrap()), all);
    assert!(!by(&["*%wlan0:0"]).unwrap().pins_paths());
    assert_eq!(
        reasons(by(&["203.0.113.9:0"]))[0],
        [Reason::NotAtLocalEndpoint]
    );
}

#[test]
fn a_listener_may_be_bound_to_an_address_that_comes_later() {
    let mut request = listen(SecurityParameters::tls());
    request.paths = three();
    request.locals = vec![local("203.0.113.9:7")];
    assert!(Plan::new(request.clone()).is_ok());
    request.action = Action::Rendezvous;
    request.remotes = vec![remote("example.com:7")];
    assert!(matches!(Plan::new(request), Err(PlanError::NoPath { .. })));
}

#[test]
fn paths_that_come_later_are_judged_by_the_same_rules() {
    let plan = over(
        three(),
        &[("interface", "prefer:eth0,prohibit:type:cellular")],
    )
    .unwrap();
    let later = vec![
        path(9, "lte1", InterfaceKind::Cellular),
        path(2, "wlan0", InterfaceKind::WiFi),
        path(3, "eth0", InterfaceKind::Ethernet),
    ];
    let chosen = plan.choose_paths(later);
    let names: Vec<&str> = chosen.iter().map(|path| path.interface.as_str()).collect();
    assert_eq!(names, ["eth0", "wlan0"]);
}

#[test]
fn paths_are_decided_before_protocols() {
    let plan = over(
        three(),
        &[
            ("interface", "prefer:type:wifi"),
            ("multistreaming", "prefer"),
        ],
    )
    .unwrap();
    assert_eq!(interfaces(&plan)[0], "wlan0");
    assert_eq!(names(&plan)[0], "quic");
    // A path without which nothing goes is the error, whatever the protocols.
    let error = over(
        three(),
        &[("interface", "require:x"), ("perMsgReliability", "require")],
    );
    assert!(matches!(error, Err(PlanError::NoPath { .. })));
}
