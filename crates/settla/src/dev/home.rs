//! The folder of a local system: its secrets, its log, and who is using it.

use crate::failure::Failure;
use crate::sandbox::{self, SandboxKeys};
use serde::{Deserialize, Serialize};
use settla_vault::{KeyHasher, MasterKey, Secret, WebhookSecret, random_bytes};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The secret that signs, and one that only verifies, from the environment.
const SIGNING: &str = "SETTLA_API_KEY_HMAC_SECRET";
const OTHER: &str = "SETTLA_API_KEY_HMAC_SECRET_OTHER";

/// The folder.
pub struct Home {
    dir: PathBuf,
    secrets: Secrets,
}

/// Secrets of a local system, made at first start. In production they come from the environment.
#[derive(Serialize, Deserialize)]
struct Secrets {
    /// The first signs, all verify.
    api_key_hmac_secrets: Vec<KeySecret>,
    sandbox: SandboxKeys,
    /// Secrets of the servers' webhooks, by server.
    webhooks: BTreeMap<String, String>,
}

/// A secret that API keys are hashed under.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeySecret {
    /// Stored hashes name it.
    pub version: u16,
    /// Hex of 32 bytes or more.
    pub secret: String,
}

impl KeySecret {
    /// A new one.
    pub fn generate(version: u16) -> Self {
        Self { version, secret: hex::encode(random_bytes::<32>()) }
    }

    fn hasher(&self) -> Result<KeyHasher, Failure> {
        let secret = Secret::new(hex::decode(&self.secret).map_err(|_| {
            Failure::new("the secret for hashing API keys is not hex").try_next("make one with `openssl rand -hex 32`")
        })?);
        Ok(KeyHasher::new(self.version, secret.expose())?)
    }
}

/// A seeded tenant with its key. Only a local system keeps keys, so that it can print them again.
#[derive(Clone, Serialize, Deserialize)]
pub struct TenantCredentials {
    /// Short name.
    pub slug: String,
    /// Name.
    pub name: String,
    /// Public id.
    pub tenant_id: String,
    /// The key.
    pub api_key: String,
}

/// A running user of the folder.
pub struct User(File);

impl Home {
    /// Opens a folder that a system has been started in.
    pub fn existing(dir: &Path) -> Result<Self, Failure> {
        if !dir.join("secrets.json").exists() {
            return Err(Failure::new(format!("no system has been started in {}", dir.display()))
                .try_next("start one with `settla dev`"));
        }
        Self::open(dir)
    }

    /// Opens the folder, made at first use.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        let path = dir.join("secrets.json");
        let secrets = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| {
                Failure::new(format!("{} is not of this version", path.display()))
                    .try_next("remove the folder, or start in another one (`--dir`)")
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_secrets(&path)?,
            Err(error) => return Err(error.into()),
        };
        let home = Self { dir, secrets };
        let draft = home.at(&format!("sandbox-keys.json.{}", std::process::id()));
        write_private(&draft, &serde_json::to_vec(&home.secrets.sandbox)?)?;
        fs::rename(draft, home.sandbox_keys_file())?;
        Ok(home)
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A folder inside.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where the platform logs.
    pub fn log(&self) -> PathBuf {
        self.dir.join("platform.log")
    }

    /// The sandbox reads its keys here.
    pub fn sandbox_keys_file(&self) -> PathBuf {
        self.dir.join("sandbox-keys.json")
    }

    /// The key of a server of the sandbox.
    pub fn sandbox_key(&self, server: &str) -> Result<&str, Failure> {
        let key = self.secrets.sandbox.get(server);
        key.map(String::as_str).ok_or_else(|| Failure::new(format!("no key of {server} in secrets.json")))
    }

    /// Hashers of API keys: the first signs, all verify. From the environment if it has them, or from the
    /// folder.
    pub fn key_hashers(&self) -> Result<Vec<KeyHasher>, Failure> {
        let secrets = match std::env::var(SIGNING) {
            Ok(signing) => {
                let other = std::env::var(OTHER).ok().map(|other| from_environment(OTHER, &other)).transpose()?;
                [from_environment(SIGNING, &signing)?].into_iter().chain(other).collect()
            }
            Err(_) => self.secrets.api_key_hmac_secrets.clone(),
        };
        let hashers = secrets.iter().map(KeySecret::hasher).collect::<Result<Vec<_>, _>>()?;
        if let [one, other] = &hashers[..]
            && one.version() == other.version()
        {
            return Err(Failure::new(format!("{SIGNING} and {OTHER} are of the same version")));
        }
        Ok(hashers)
    }

    /// The one that new keys are hashed with.
    pub fn signing_hasher(&self) -> Result<KeyHasher, Failure> {
        self.key_hashers()?.into_iter().next().ok_or_else(|| Failure::new("no secret for hashing API keys"))
    }

    /// Changes the folder's secrets for API keys. Processes that run go on with those that they have.
    pub fn change_key_secrets(
        &self,
        change: impl FnOnce(&mut Vec<KeySecret>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if std::env::var_os(SIGNING).is_some() {
            return Err(Failure::new(format!("{SIGNING} is set: the folder's secrets are not in use"))
                .try_next(format!("change {SIGNING} and {OTHER}; see docs/operations.md")));
        }
        let path = self.dir.join("secrets.json");
        let mut secrets: Secrets = serde_json::from_slice(&fs::read(&path)?)?;
        change(&mut secrets.api_key_hmac_secrets)?;
        let draft = self.at(&format!("secrets.json.{}", std::process::id()));
        let _ = fs::remove_file(&draft);
        write_private(&draft, &serde_json::to_vec(&secrets)?)?;
        Ok(fs::rename(draft, path)?)
    }

    /// The secret of a server's webhooks.
    pub fn webhook_secret(&self, server: &str) -> Result<WebhookSecret, Failure> {
        let secret = self.secrets.webhooks.get(server);
        let secret = secret.ok_or_else(|| Failure::new(format!("no webhook secret of {server} in secrets.json")))?;
        Ok(WebhookSecret::parse(secret)?)
    }

    /// The master key, made at first use.
    pub fn master_key(&self) -> Result<MasterKey, Failure> {
        Ok(MasterKey::load_or_create(&self.dir.join("master.key"))?)
    }

    /// The seeded tenants, if they have been made.
    pub fn credentials(&self) -> Result<Vec<TenantCredentials>, Failure> {
        match fs::read(self.dir.join("tenants.json")) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the seeded tenants.
    pub fn keep_credentials(&self, tenants: &[TenantCredentials]) -> Result<(), Failure> {
        let draft = self.dir.join("tenants.json.new");
        let _ = fs::remove_file(&draft);
        write_private(&draft, &serde_json::to_vec_pretty(tenants)?)?;
        Ok(fs::rename(draft, self.dir.join("tenants.json"))?)
    }

    /// What other commands need to know of the system that runs here.
    pub fn write_facts(&self, facts: &serde_json::Value) -> Result<(), Failure> {
        let draft = self.dir.join(format!("dev.json.{}", std::process::id()));
        let _ = fs::remove_file(&draft);
        write_private(&draft, facts.to_string().as_bytes())?;
        Ok(fs::rename(draft, self.dir.join("dev.json"))?)
    }

    /// What `settla dev` wrote down when it was last ready.
    pub fn facts(&self) -> Result<serde_json::Value, Failure> {
        let bytes = fs::read(self.dir.join("dev.json")).map_err(|_| {
            Failure::new(format!("no system has been started in {}", self.dir.display()))
                .try_next("start one with `settla dev`")
        })?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    fn lock_file(&self, name: &str) -> Result<File, Failure> {
        Ok(OpenOptions::new().create(true).append(true).open(self.dir.join(name))?)
    }

    /// Enters the users of the folder. A killed user leaves by itself.
    pub fn join(&self) -> Result<User, Failure> {
        let file = self.lock_file("users.lock")?;
        file.lock_shared()?;
        Ok(User(file))
    }

    /// Leaves. Returns whether nobody else is left.
    pub fn leave(&self, user: User) -> Result<bool, Failure> {
        drop(user.0);
        Ok(self.lock_file("users.lock")?.try_lock().is_ok())
    }

    /// Waits for this process's turn to bring things up.
    pub async fn turn(&self) -> Result<File, Failure> {
        let file = self.lock_file("turn.lock")?;
        Ok(tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await??)
    }
}

/// `<version>:<hex>`, or the hex alone for version 1.
fn from_environment(name: &str, text: &str) -> Result<KeySecret, Failure> {
    let (version, secret) = text.split_once(':').unwrap_or(("1", text));
    let version = version.parse().ok().filter(|version| *version > 0).ok_or_else(|| {
        Failure::new(format!("{name} does not begin with a version")).try_next("write it as <version>:<hex>")
    })?;
    Ok(KeySecret { version, secret: secret.to_owned() })
}

fn make_secrets(path: &Path) -> Result<Secrets, Failure> {
    let random = || hex::encode(random_bytes::<32>());
    let webhook = || WebhookSecret::generate().expose().expose().clone();
    let secrets = Secrets {
        api_key_hmac_secrets: vec![KeySecret::generate(1)],
        sandbox: sandbox::servers().into_iter().map(|server| (server, random())).collect(),
        webhooks: sandbox::servers().into_iter().map(|server| (server, webhook())).collect(),
    };
    // Written aside and linked into place, so that a kill leaves all of it or nothing.
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    write_private(&draft, &serde_json::to_vec(&secrets)?)?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(secrets),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Ok(serde_json::from_slice(&fs::read(path)?)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// A new file that only its owner can read.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}
