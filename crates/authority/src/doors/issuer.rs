//! Issuers that are trusted, each in a row: whose tokens, for whom, and whom they let in as what.

use notme_jose::{Algorithm, JwkSet};
use serde_json::Value;

use super::claims::{Claims, Rule, Template};
use super::made::RowRef;
use super::presets::{self, Preset};
use super::rows::Rows;
use super::{DOORS, RowsOf};
use crate::people::body::shown_name;
use crate::people::{Scope, Scopes};
use crate::rows::Row;
use crate::url::BaseUrl;

/// The members of a row.
const MEMBERS: [&str; 14] = [
    "algorithms",
    "audience",
    "cluster",
    "for",
    "issuer",
    "jwks",
    "jwks_uri",
    "name",
    "preset",
    "rules",
    "scopes",
    "sign_in",
    "subject",
    "type",
];

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// The kind of proof that it is about.
    pub kind: Kind,
    /// What operators call it.
    pub name: String,
    /// `iss` of its tokens, compared exactly.
    pub issuer: String,
    /// Which of the clusters it is that call themselves by that name, where there are several.
    pub cluster: Option<String>,
    /// Required in `aud`.
    pub audience: String,
    /// The algorithms that its tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are.
    pub keys: Keys,
    /// Whether it is for people, and not for workloads.
    pub is_for_people: bool,
    /// How people sign in by it on our pages, if they do.
    pub sign_in: Option<SignIn>,
    /// What is written of its claims to be a subject that it gives to nobody else.
    pub subject: Template,
    /// What those may do at most whom it lets in.
    pub scopes: Scopes,
    /// Whom it lets in: whoever one of them fits.
    pub rules: Vec<Rule>,
    /// Which row it is, if an administrator made it.
    pub made: Option<RowRef>,
}

/// How people sign in at an issuer from our pages: its row's `audience` is what it knows us as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// What the button says.
    pub label: String,
    /// `scope` of what it is asked (RFC 6749 §3.3).
    pub scope: String,
}

impl SignIn {
    /// Reads `{label, scope?}`.
    fn read(member: &Value) -> Result<Self, String> {
        let row = Row::new(member, "sign_in", &["label", "scope"])
            .map_err(|problem| format!("sign_in {problem}"))?;
        let label = shown_name(row.get("label"), "sign_in.label");
        let label = label.ok().flatten();
        let scope = row
            .text("scope")
            .map_err(|problem| format!("sign_in.{problem}"))?;
        let scope = scope.unwrap_or("openid");
        // RFC 6749 §3.3, and OpenID Connect Core §3.1.2.1.
        let is_token = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
        let mut tokens = scope.split(' ');
        if !tokens.all(|token| !token.is_empty() && token.chars().all(is_token))
            || !scope.split(' ').any(|token| token == "openid")
        {
            return Err("sign_in.scope must be openid, and others behind single blanks".into());
        }
        Ok(Self {
            label: label
                .ok_or("sign_in.label must be a text of at most 64 characters: what people read")?,
            scope: scope.to_owned(),
        })
    }
}

/// The kind of proof that a row is about: a member of `proof.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A token of any OpenID Connect issuer.
    Oidc,
    /// A projected token of a Kubernetes service account.
    Kubernetes,
    /// What Cloudflare Access says of whoever came through it.
    Access,
    /// An assertion of the operator's own.
    Custom,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Oidc, Self::Kubernetes, Self::Access, Self::Custom];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Kubernetes => "kubernetes",
            Self::Access => "access",
            Self::Custom => "custom",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether tokens of this kind can name what we make up for one sign-in, without which one that leaks would be
    /// somebody else's way in.
    const fn has_nonces(self) -> bool {
        match self {
            Self::Oidc | Self::Custom => true,
            Self::Kubernetes | Self::Access => false,
        }
    }

    /// Where the keys of `issuer` are where the row doesn't say.
    fn keys(self, issuer: &str) -> Keys {
        match self {
            Self::Oidc | Self::Kubernetes | Self::Custom => Keys::Discovered,
            // Teams have no discovery document.
            Self::Access => Keys::At(format!("{issuer}/cdn-cgi/access/certs")),
        }
    }

    /// How a subject is written where the row doesn't say.
    const fn default_subject(self) -> &'static str {
        match self {
            // OpenID Connect Core §2: never given to anybody else.
            Self::Oidc | Self::Access | Self::Custom => "{sub}",
            // A service account of the same name may be made anew, and is another one.
            Self::Kubernetes => "{sub}/{/kubernetes.io/serviceaccount/uid}",
        }
    }
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Where its discovery document says.
    Discovered,
    /// There, for an issuer without such a document.
    At(String),
    /// In the row, for an issuer that can't be reached.
    Given(JwkSet),
}

impl TrustedIssuer {
    /// Reads rows: a JSON array of objects.
    ///
    /// # Errors
    /// Sentences for the operator, each about one row. They don't repeat values.
    pub fn read_all(json: &str) -> Result<Vec<Self>, Vec<String>> {
        Rows::read_all(json).map(|rows| rows.issuers)
    }

    /// Reads a row that stands beside others.
    ///
    /// # Errors
    /// A sentence for whoever wrote it. It doesn't repeat values.
    pub(super) fn read(row: &Value, others: &[Self]) -> Result<Self, String> {
        let row = Self::read_alone(Row::new(row, "a row", &MEMBERS)?)?;
        let same: Vec<_> = (others.iter())
            .filter(|other| other.issuer == row.issuer)
            .collect();
        // Two clusters that call themselves by the same name are told apart by their keys.
        if (same.iter()).any(|other| other.cluster == row.cluster && other.keys != row.keys) {
            return Err("an earlier row has other keys for this issuer".into());
        }
        let is_mixed = |other: &&Self| match (&other.cluster, &row.cluster) {
            (None, None) => false,
            (Some(one), Some(other)) if one == other => false,
            (Some(_), Some(_)) => other.shares_key(&row),
            (None, Some(_)) | (Some(_), None) => true,
        };
        if same.iter().copied().any(|other| is_mixed(&other)) {
            return Err(
                "cluster has to be in all rows of this issuer, each with keys of its own".into(),
            );
        }
        Ok(row)
    }

    /// Whether a token could be signed by a key of both.
    fn shares_key(&self, other: &Self) -> bool {
        match (&self.keys, &other.keys) {
            (Keys::Given(one), Keys::Given(other)) => one.shares_key(other),
            _ => true,
        }
    }

    /// Whether a token that names this key may be of this row's: of several clusters with one name it is the one's
    /// that has the key.
    #[must_use]
    pub fn may_have(&self, kid: &str, algorithm: Algorithm) -> bool {
        match (&self.cluster, &self.keys) {
            (Some(_), Keys::Given(set)) => set.find(kid, algorithm).is_some(),
            _ => true,
        }
    }

    /// Who vouches for its subjects.
    #[must_use]
    pub fn authority(&self) -> String {
        match &self.cluster {
            None => self.issuer.clone(),
            Some(cluster) => format!("{}#{cluster}", self.issuer),
        }
    }

    fn read_alone(row: Row<'_>) -> Result<Self, String> {
        let kind = row.text("type")?.unwrap_or(Kind::Oidc.as_str());
        let kind = Kind::parse(kind).ok_or_else(|| {
            let has_rows = DOORS
                .iter()
                .filter(|door| !matches!(door.rows, RowsOf::Never));
            let kinds: Vec<_> = has_rows.map(|door| door.name).collect();
            format!("type must be {}", kinds.join(" or "))
        })?;
        let preset = row.text("preset")?.map(presets::find).transpose()?;
        if preset.is_some() && kind != Kind::Oidc {
            return Err("has a preset, which is for type oidc".into());
        }
        let is_for_people = is_for_people(row.get("for"))?;
        if is_for_people && !kind.has_nonces() {
            return Err(format!(
                "for can't be people where type is {}: its tokens can't be made for one sign-in",
                kind.as_str()
            ));
        }
        let issuer = match (row.get("issuer"), preset.and_then(|preset| preset.issuer)) {
            (None, Some(issuer)) => issuer,
            _ => row.required("issuer")?,
        };
        let keys = match (row.get("jwks"), row.text("jwks_uri")?) {
            (None, None) => {
                BaseUrl::parse(issuer).map_err(|error| format!("issuer {}", error.0))?;
                kind.keys(issuer)
            }
            (None, Some(uri)) => {
                BaseUrl::parse(uri).map_err(|error| format!("jwks_uri {}", error.0))?;
                Keys::At(uri.to_owned())
            }
            (Some(set), None) => match JwkSet::parse(set.to_string().as_bytes()) {
                Ok(set) if !set.is_empty() => Keys::Given(set),
                _ => return Err("jwks must be a JWK set with a key that can be used".into()),
            },
            (Some(_), Some(_)) => return Err("has both jwks and jwks_uri".into()),
        };
        let cluster = row.text("cluster")?;
        if kind == Kind::Kubernetes && issuer.contains('#') {
            return Err("issuer has a fragment, which no issuer has".into());
        }
        if cluster.is_some() && !(kind == Kind::Kubernetes && matches!(keys, Keys::Given(_))) {
            return Err("has a cluster, which is for type kubernetes with jwks".into());
        }
        if cluster.is_some_and(|name| !is_cluster(name)) {
            return Err("cluster must be 1 to 63 of a-z, 0-9 and -".into());
        }
        let sign_in = row.get("sign_in").map(SignIn::read).transpose()?;
        if sign_in.is_some() && !(is_for_people && kind == Kind::Oidc && keys == Keys::Discovered) {
            return Err(
                "has sign_in, which is for people, type oidc, and an issuer that says itself where its keys are".into(),
            );
        }
        let subject = match (row.text("subject")?, preset) {
            (Some(subject), _) => subject,
            (None, Some(preset)) => preset.subject,
            (None, None) => kind.default_subject(),
        };
        let subject = Template::read(subject).map_err(|why| format!("subject {why}"))?;
        Ok(Self {
            kind,
            name: row.text("name")?.unwrap_or(issuer).to_owned(),
            issuer: issuer.to_owned(),
            cluster: cluster.map(str::to_owned),
            audience: row.required("audience")?.to_owned(),
            algorithms: match (row.get("algorithms"), preset) {
                (None, Some(preset)) => algorithms(Some(&preset.algorithms.into()))?,
                (given, _) => algorithms(given)?,
            },
            keys,
            is_for_people,
            sign_in,
            subject,
            scopes: scopes(row.get("scopes"))?,
            rules: match presets::of_issuer(issuer).filter(|_| !is_for_people) {
                // Of people nobody is let in by a row alone: they are linked, or invited.
                Some(everybodys) => pinned(rules(row.get("rules"))?, Some(everybodys))?,
                None => pinned(rules(row.get("rules"))?, preset)?,
            },
            made: None,
        })
    }

    /// The first rule that fits; if none does, the claim that stood in the way of the first.
    ///
    /// # Errors
    /// The claim.
    pub fn permit(&self, claims: &Claims) -> Result<&Rule, &str> {
        permit(&self.rules, claims)
    }
}

/// What a cluster may be called, as labels are (RFC 1123 §2.1): nothing that could end a subject's issuer.
fn is_cluster(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(allowed)
}

/// The first rule that fits; if none does, the claim that stood in the way of the first.
pub(super) fn permit<'a>(rules: &'a [Rule], claims: &Claims) -> Result<&'a Rule, &'a str> {
    let mut first = None;
    for rule in rules {
        match rule.first_mismatch(claims) {
            None => return Ok(rule),
            Some(claim) => first = first.or(Some(claim)),
        }
    }
    Err(first.unwrap_or("rules"))
}

/// Whether every rule looks at one of the claims that a preset says must be pinned, for something in particular.
fn pinned(rules: Vec<Rule>, preset: Option<&Preset>) -> Result<Vec<Rule>, String> {
    let pins = preset.map_or(&[][..], |preset| preset.pins);
    // Of an issuer of everybody's, subjects that begin alike are different customers'.
    pinned_by(
        rules,
        pins,
        preset.is_some_and(|preset| preset.issuer.is_none()),
    )
}

/// Whether every rule looks at one of these claims, for something in particular.
pub(super) fn pinned_by(
    rules: Vec<Rule>,
    pins: &[&str],
    is_path: bool,
) -> Result<Vec<Rule>, String> {
    let is_pinned =
        |rule: &Rule| pins.is_empty() || pins.iter().any(|claim| rule.pins(claim, is_path));
    match rules.iter().position(|rule| !is_pinned(rule)) {
        None => Ok(rules),
        Some(at) => Err(format!(
            "rule {}: must pin {}, which nobody else can be given",
            at + 1,
            pins.join(" or ")
        )),
    }
}

fn algorithms(member: Option<&Value>) -> Result<Vec<Algorithm>, String> {
    let all = Algorithm::ALL.to_vec();
    let Some(member) = member else { return Ok(all) };
    let names = member.as_array().filter(|names| !names.is_empty());
    let read = |name: &Value| Algorithm::parse(name.as_str()?);
    names
        .and_then(|names| names.iter().map(read).collect())
        .ok_or_else(|| {
            format!(
                "algorithms must be a list of {}",
                Algorithm::ALL.map(Algorithm::as_str).join(", ")
            )
        })
}

/// Whether a row is for people; if it doesn't say, it is for workloads.
pub(super) fn is_for_people(member: Option<&Value>) -> Result<bool, String> {
    match member.map(Value::as_str) {
        None | Some(Some("workloads")) => Ok(false),
        Some(Some("people")) => Ok(true),
        Some(_) => Err("for must be people or workloads".into()),
    }
}

pub(super) fn scopes(member: Option<&Value>) -> Result<Scopes, String> {
    let Some(member) = member else {
        return Err("scopes is missing: a list such as [\"bridgeCert\"]".into());
    };
    let names = member.as_array().filter(|names| !names.is_empty());
    let read = |name: &Value| Scope::parse(name.as_str()?);
    let scopes = names.and_then(|names| names.iter().map(read).collect::<Option<Scopes>>());
    let scopes = scopes
        .ok_or_else(|| "scopes must be a list of scopes, such as [\"bridgeCert\"]".to_owned())?;
    // Administering is for people, whom an administrator grants it.
    if scopes.for_certificates() == scopes {
        Ok(scopes)
    } else {
        Err(format!(
            "scopes may have {} and no other",
            Scopes::eligible().names().join(", ")
        ))
    }
}

pub(super) fn rules(member: Option<&Value>) -> Result<Vec<Rule>, String> {
    let rules = member
        .and_then(Value::as_array)
        .filter(|rules| !rules.is_empty());
    let rules = rules.ok_or_else(|| {
        "rules is missing: a list of objects that say which claims let somebody in, such as \
         [{\"repository_owner_id\": \"123\"}]; [{}] is everybody whom the issuer knows"
            .to_owned()
    })?;
    let read = |(at, rule): (usize, &Value)| {
        let rule = rule.as_object().ok_or_else(|| "is no object".to_owned());
        let rule = rule.and_then(Rule::read);
        rule.map_err(|problem| format!("rule {}: {problem}", at + 1))
    };
    rules.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row() -> Value {
        json!({
            "issuer": "https://gitlab.example.com",
            "audience": "https://id.example.com",
            "subject": "project:{project_id}",
            "scopes": ["bridgeCert"],
            "rules": [{ "namespace_id": "7", "ref": "main" }, { "namespace_id": "8" }],
        })
    }

    fn read(row: &Value) -> Result<TrustedIssuer, String> {
        let rows = TrustedIssuer::read_all(&json!([row]).to_string());
        rows.map(|mut rows| rows.remove(0))
            .map_err(|problems| problems.join("; "))
    }

    fn with(name: &str, value: Value) -> Value {
        let mut row = row();
        row[name] = value;
        row
    }

    #[test]
    fn a_row_says_whose_tokens_for_whom_and_as_what() {
        let row = read(&row()).unwrap();
        assert_eq!(row.kind, Kind::Oidc);
        assert_eq!(row.name, "https://gitlab.example.com");
        assert_eq!(row.algorithms, Algorithm::ALL);
        assert_eq!(row.keys, Keys::Discovered);
        let claims = |claims: Value| claims.as_object().unwrap().clone();
        assert_eq!(
            row.permit(&claims(json!({ "namespace_id": 7, "ref": "main" }))),
            Ok(&row.rules[0])
        );
        assert_eq!(
            row.permit(&claims(json!({ "namespace_id": 8, "ref": "x" }))),
            Ok(&row.rules[1])
        );
        assert_eq!(
            row.permit(&claims(json!({ "namespace_id": 7, "ref": "x" }))),
            Err("ref")
        );
        assert_eq!(row.permit(&claims(json!({}))), Err("namespace_id"));
    }

    #[test]
    fn clusters_of_one_name_are_told_apart_by_their_keys() {
        let set = |kid: &str, x: &str| json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x }] });
        let [one, other] = [
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
        ];
        let row = |cluster: Option<&str>, keys: Value| {
            let mut row = with("type", json!("kubernetes"));
            row["jwks"] = keys;
            if let Some(cluster) = cluster {
                row["cluster"] = json!(cluster);
            }
            row
        };
        let read = |rows: &[Value]| {
            TrustedIssuer::read_all(&json!(rows).to_string()).map_err(|all| all.join("; "))
        };
        let rows = read(&[
            row(Some("a"), set("a", one)),
            row(Some("b"), set("b", other)),
        ]);
        let rows = rows.unwrap();
        let may = |kid: &str| {
            rows.iter()
                .map(|row| row.may_have(kid, Algorithm::EdDsa))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (may("a"), may("b"), may("c")),
            (vec![true, false], vec![false, true], vec![false, false])
        );
        assert_eq!(rows[1].authority(), "https://gitlab.example.com#b");
        // The same keys twice are one cluster's, and a name in both sets, or in one row alone, tells nothing apart.
        for second in [
            row(Some("b"), set("b", one)),
            row(Some("b"), set("a", other)),
            row(None, set("b", other)),
            row(Some("a"), set("b", other)),
        ] {
            assert!(
                read(&[row(Some("a"), set("a", one)), second.clone()]).is_err(),
                "{second}"
            );
        }
        assert!(read(&[row(Some("a"), set("a", one)), row(Some("a"), set("a", one))]).is_ok());
        for cluster in ["", "A", "a.b", "a#b", &"a".repeat(64)] {
            assert!(
                read(&[row(Some(cluster), set("a", one))]).is_err(),
                "{cluster}"
            );
        }
    }

    #[test]
    fn a_service_account_that_is_made_anew_is_another_one() {
        let row = read(&with("type", json!("kubernetes"))).unwrap();
        assert_eq!(row.kind, Kind::Kubernetes);
        let mut bare = with("type", json!("kubernetes"));
        bare.as_object_mut().unwrap().remove("subject");
        let row = read(&bare).unwrap();
        let account = |uid: &str| {
            let claims = json!({ "sub": "system:serviceaccount:a:b", "kubernetes.io": { "serviceaccount": { "uid": uid } } });
            row.subject
                .write(claims.as_object().unwrap())
                .map_err(str::to_owned)
        };
        assert_ne!(account("1"), account("2"));
        assert!(account("1").is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_by_row_and_member_and_never_repeated() {
        for (row, problem) in [
            (json!(1), "row 1: is no object"),
            (
                with("rulez", json!([])),
                "row 1: rulez is no member of a row",
            ),
            (with("issuer", json!("")), "row 1: issuer must be a text"),
            (
                with("issuer", json!("http://example.com")),
                "row 1: issuer ",
            ),
            (
                with("audience", json!(["a"])),
                "row 1: audience must be a text",
            ),
            (
                with("type", json!("saml")),
                "row 1: type must be oidc or kubernetes or",
            ),
            (
                with("jwks_uri", json!("http://example.com/keys")),
                "row 1: jwks_uri ",
            ),
            (
                with("jwks_uri", json!(["https://a.example"])),
                "row 1: jwks_uri must be a text",
            ),
            (with("subject", json!("x")), "row 1: subject has no claim"),
            (with("scopes", json!([])), "row 1: scopes must be a list"),
            (
                with("scopes", json!(["bridgeCert", "root"])),
                "row 1: scopes must be a list",
            ),
            (
                with("scopes", json!(["authorityManage"])),
                "row 1: scopes may have bridgeCert",
            ),
            (with("rules", json!([])), "row 1: rules is missing"),
            (with("rules", json!({})), "row 1: rules is missing"),
            (with("rules", json!([1])), "row 1: rule 1: is no object"),
            (
                with("rules", json!([{}, { "a": null }])),
                "row 1: rule 2: a must be a text",
            ),
            (
                with("algorithms", json!(["none"])),
                "row 1: algorithms must be a list",
            ),
            (
                with("algorithms", json!(["HS256"])),
                "row 1: algorithms must be a list",
            ),
            (with("jwks", json!({ "keys": [] })), "row 1: jwks must be"),
            (
                with("jwks", json!({ "keys": [{ "kty": "oct", "k": "AAAA" }] })),
                "row 1: jwks must be",
            ),
        ] {
            let told = read(&row).unwrap_err();
            assert!(told.starts_with(problem), "{told}");
        }
        for missing in ["issuer", "audience", "scopes", "rules"] {
            let mut row = row();
            row.as_object_mut().unwrap().remove(missing);
            let told = read(&row).unwrap_err();
            assert!(
                told.starts_with(&format!("row 1: {missing} is missing")),
                "{told}"
            );
        }
        for json in [
            "",
            "{}",
            "[",
            "[],[]",
            r#"[],"x":1"#,
            r#"[{"issuer":"a","issuer":"b"}]"#,
            "[]}",
        ] {
            assert!(TrustedIssuer::read_all(json).is_err(), "{json}");
        }
        assert_eq!(TrustedIssuer::read_all("[]"), Ok(Vec::new()));
    }

    #[test]
    fn an_issuer_of_everybody_s_is_pinned_whether_its_preset_is_named_or_not() {
        let github = |rule: Value| {
            let mut row = with(
                "issuer",
                json!("https://token.actions.githubusercontent.com"),
            );
            row["rules"] = json!([rule]);
            row
        };
        let told = read(&github(json!({ "repository": "acme/app" }))).unwrap_err();
        assert!(told.starts_with("row 1: rule 1: must pin repository_owner_id"));
        let mut pinned = github(json!({ "repository_owner_id": "7", "repository": "acme/app" }));
        assert!(read(&pinned).is_ok());
        for (name, value) in [
            ("preset", "circleci"),
            ("preset", "spiffe"),
            ("type", "custom"),
            ("type", "kubernetes"),
        ] {
            let mut loose = github(json!({ "sub": "repo:acme*" }));
            loose[name] = json!(value);
            let told = read(&loose).unwrap_err();
            assert!(
                told.contains("must pin repository_owner_id"),
                "{value}: {told}"
            );
        }
        // Who it is stays what it was.
        pinned.as_object_mut().unwrap().remove("subject");
        let subject = read(&pinned).unwrap().subject;
        let claims = json!({ "repository_id": "42", "sub": "repo:acme/app" });
        let written = subject.write(claims.as_object().unwrap());
        assert_eq!(written.unwrap(), "repo:acme/app");
        // People are nobody by a row alone.
        let mut people = github(json!({ "hd": "acme.example" }));
        people["for"] = json!("people");
        people["issuer"] = json!("https://accounts.google.com");
        assert!(read(&people).is_ok());
    }

    #[test]
    fn keys_are_where_the_row_says_or_where_the_kind_has_them() {
        let keys = |row: &Value| read(row).unwrap().keys;
        let at = "https://keys.example/jwks";
        assert_eq!(keys(&with("jwks_uri", json!(at))), Keys::At(at.into()));
        let access = with("type", json!("access"));
        let certs = "https://gitlab.example.com/cdn-cgi/access/certs";
        assert_eq!(keys(&access), Keys::At(certs.into()));
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
        let mut both = with("jwks", set);
        assert!(matches!(keys(&both), Keys::Given(_)));
        both["jwks_uri"] = json!(at);
        assert!(read(&both).is_err());
        // An issuer has its keys in one place.
        let rows = json!([row(), with("jwks_uri", json!(at))]).to_string();
        let told = TrustedIssuer::read_all(&rows).unwrap_err();
        assert_eq!(
            told,
            ["row 2: an earlier row has other keys for this issuer"]
        );
    }

    #[test]
    fn a_row_is_for_workloads_unless_it_says_people_and_can() {
        let is_for_people = |row: &Value| read(row).map(|row| row.is_for_people);
        assert_eq!(is_for_people(&row()), Ok(false));
        assert_eq!(is_for_people(&with("for", json!("workloads"))), Ok(false));
        assert_eq!(is_for_people(&with("for", json!("people"))), Ok(true));
        for bad in [
            json!("everybody"),
            json!(true),
            json!(["people"]),
            json!(null),
        ] {
            let told = is_for_people(&with("for", bad)).unwrap_err();
            assert_eq!(told, "row 1: for must be people or workloads");
        }
        for (kind, is_good) in [
            ("oidc", true),
            ("custom", true),
            ("kubernetes", false),
            ("access", false),
        ] {
            let mut row = with("for", json!("people"));
            row["type"] = json!(kind);
            assert_eq!(is_for_people(&row).is_ok(), is_good, "{kind}");
        }
    }

    #[test]
    fn people_sign_in_from_our_pages_where_a_row_says_so_and_can() {
        let for_people = |sign_in: Value| {
            let mut row = with("for", json!("people"));
            row["sign_in"] = sign_in;
            row
        };
        let good = read(&for_people(json!({ "label": " Acme " }))).unwrap();
        let sign_in = good.sign_in.unwrap();
        assert_eq!((&*sign_in.label, &*sign_in.scope), ("Acme", "openid"));
        let more = json!({ "label": "Acme", "scope": "openid email" });
        let more = read(&for_people(more)).unwrap().sign_in.unwrap();
        assert_eq!(more.scope, "openid email");
        for bad in [
            json!(null),
            json!("Acme"),
            json!({}),
            json!({ "label": "" }),
            json!({ "label": 1 }),
            json!({ "label": "a\u{202e}b" }),
            json!({ "label": "a".repeat(65) }),
            json!({ "label": "a", "scope": "email" }),
            json!({ "label": "a", "scope": "openid  email" }),
            json!({ "label": "a", "scope": "openid\nemail" }),
            json!({ "label": "a", "scope": 1 }),
            json!({ "label": "a", "client_secret": "s" }),
        ] {
            let told = read(&for_people(bad.clone())).unwrap_err();
            assert!(told.starts_with("row 1: sign_in"), "{bad}: {told}");
        }
        let mut elsewhere = for_people(json!({ "label": "a" }));
        elsewhere["jwks_uri"] = json!("https://gitlab.example.com/keys");
        let mut custom = for_people(json!({ "label": "a" }));
        custom["type"] = json!("custom");
        let workloads = with("sign_in", json!({ "label": "a" }));
        for bad in [elsewhere, custom, workloads] {
            let told = read(&bad).unwrap_err();
            assert!(told.starts_with("row 1: has sign_in, which"), "{told}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let json = json!([1, row(), with("audience", json!(1))]).to_string();
        assert_eq!(TrustedIssuer::read_all(&json).unwrap_err().len(), 2);
    }
}
