//! What this machine has to hold a program with, each thing tried and named.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How well a program can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Limits only: it can read and send whatever the person can. Refused unless asked for by name.
    None,
    /// No file but the ones named, no network, no further process; but it shares the machine's view of processes,
    /// and the scratch folder is only looked at from time to time. Results carry a warning.
    Reduced,
    /// A file system, network, process table and user of its own, besides all of the above.
    Full,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Reduced => "reduced",
            Self::Full => "full",
        })
    }
}

impl Tier {
    /// What to say beside a result, unless the tier is full.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Self::Full => None,
            Self::Reduced => Some(
                "ran in a reduced sandbox: no namespaces on this machine, so it could see which processes run and \
                 fill its scratch folder for a moment",
            ),
            Self::None => Some("ran without a sandbox: it could read, change and send whatever you can"),
        }
    }
}

/// One thing that holds a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mechanism {
    /// What it is called.
    pub name: &'static str,
    /// What it is good for.
    pub purpose: &'static str,
    /// Whether it works here.
    pub works: bool,
    /// A version, or what was tried and what the system said.
    pub detail: String,
    /// How to get it, where it does not work.
    pub remedy: Option<&'static str>,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mechanisms {
    /// In order of importance.
    pub list: Vec<Mechanism>,
    /// What they add up to.
    pub tier: Tier,
}

/// What the probe found. A text is what went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) namespaces: Option<String>,
    pub(crate) own_user: bool,
    pub(crate) landlock: i64,
    pub(crate) seccomp: Option<String>,
}

impl Mechanisms {
    pub(crate) fn new(found: &Findings) -> Self {
        let seccomp = found.seccomp.is_none();
        let tier = match (found.namespaces.is_none(), found.landlock > 0) {
            (true, _) if seccomp => Tier::Full,
            (_, true) if seccomp => Tier::Reduced,
            _ => Tier::None,
        };
        let outcome = |problem: &Option<String>| problem.clone().unwrap_or_else(|| "works".into());
        let list = vec![
            Mechanism {
                name: "namespaces",
                purpose: "own file system, network, processes",
                works: found.namespaces.is_none(),
                detail: match found.own_user {
                    true if found.namespaces.is_none() => "works, with a user of its own".into(),
                    _ => outcome(&found.namespaces),
                },
                remedy: found.namespaces.as_ref().map(|_| {
                    "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, \
                     kernel.apparmor_restrict_unprivileged_userns); in a container also its seccomp profile"
                }),
            },
            Mechanism {
                name: "seccomp",
                purpose: "no network, no odd parts of the kernel",
                works: seccomp,
                // The step that failed bears the mechanism's own name, which stands before.
                detail: outcome(&found.seccomp).trim_start_matches("seccomp: ").into(),
                remedy: found.seccomp.as_ref().map(|_| "a kernel with CONFIG_SECCOMP_FILTER on x86-64 or arm64"),
            },
            Mechanism {
                name: "landlock",
                purpose: "no files but the ones named",
                works: found.landlock > 0,
                detail: match found.landlock {
                    0 => "the kernel has none".into(),
                    version => format!("version {version}"),
                },
                remedy: (found.landlock == 0).then_some("Linux 5.13 or later with `landlock` among its `lsm=`"),
            },
        ];
        Self { list, tier }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_decides_the_tier() {
        let all = Findings { landlock: 7, ..Findings::default() };
        let tier = |found: &Findings| Mechanisms::new(found).tier;
        assert_eq!(tier(&all), Tier::Full);
        assert_eq!(tier(&Findings { landlock: 0, ..all.clone() }), Tier::Full);
        let no_spaces = Findings { namespaces: Some("not permitted".into()), ..all.clone() };
        assert_eq!(tier(&no_spaces), Tier::Reduced);
        assert_eq!(tier(&Findings { landlock: 0, ..no_spaces.clone() }), Tier::None);
        assert_eq!(tier(&Findings { seccomp: Some("none".into()), ..all.clone() }), Tier::None);
        let list = Mechanisms::new(&no_spaces).list;
        assert!(list[0].detail.contains("not permitted") && list[0].remedy.is_some());
        assert!(list[1..].iter().all(|m| m.works && m.remedy.is_none()));
        let no_filter = Findings { seccomp: Some("seccomp: Error calling `seccomp`: 22".into()), ..all };
        assert_eq!(Mechanisms::new(&no_filter).list[1].detail, "Error calling `seccomp`: 22");
    }
}
