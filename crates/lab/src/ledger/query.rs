//! Reading the ledger: one run, what a batch already has, the leaderboard.

use super::{JobRow, Ledger, RunRecord};
use crate::{
    LabError,
    filter::{Bind, SqlExpr, field_sql, input_path, unknown_field},
    python::Reads,
};
use springtide_domain::{ContentHash, RunId, RunStatus};
use springtide_io::db::sqlx::{
    self, AssertSqlSafe, Row, Sqlite, query::Query, sqlite::SqliteArguments, sqlite::SqliteRow,
};
use std::{collections::HashMap, time::Duration};

/// One row per group instead of one per run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum GroupBy {
    Strategy,
    Market,
}

/// What the leaderboard shows.
#[derive(Clone, Debug)]
pub struct BoardQuery {
    /// Metric, column or input to sort by.
    pub sort: String,
    /// Largest first.
    pub descending: bool,
    /// Compiled `--where`.
    pub filter: Option<SqlExpr>,
    /// Rows at most.
    pub top: u32,
    /// Best run of each group only.
    pub group: Option<GroupBy>,
    /// Only runs of this job.
    pub job: Option<i64>,
}

/// How long scripts took: by a script's hash the data's hash, its bars and the time.
#[derive(Clone, Debug, Default)]
pub struct Durations(HashMap<String, Vec<(String, u64, Duration)>>);

impl Durations {
    /// How long a script takes on this data: as before, else in proportion to the bars of other data.
    pub fn of(&self, script: &str, data: &str, bars: u64) -> Option<Duration> {
        let known = self.0.get(script)?;
        let before = known.iter().find(|(hash, ..)| hash == data).map(|(.., time)| *time);
        before.or_else(|| known.iter().map(|(_, of, time)| time.mul_f64(bars as f64 / *of as f64)).max())
    }
}

impl Ledger {
    /// The run whose id starts with `prefix`. Errors name the candidates when several do.
    pub fn find(&self, prefix: &RunId) -> Result<RunRecord, LabError> {
        // A range of keys: a pattern would read every row. `g` stands behind every hexadecimal digit.
        let from = prefix.as_str().to_ascii_lowercase();
        let to = format!("{from}g");
        let mut rows: Vec<SqliteRow> = self.db.read(async |c| {
            sqlx::query("SELECT * FROM runs WHERE id >= ? AND id < ? ORDER BY id LIMIT 6")
                .bind(&from)
                .bind(&to)
                .fetch_all(c)
                .await
        })?;
        match rows.len() {
            0 => Err(LabError::NoSuchRun(prefix.to_string())),
            1 => record(&rows.remove(0)),
            _ => {
                let ids: Vec<String> = rows.iter().filter_map(|r| r.try_get("id").ok()).collect();
                Err(LabError::AmbiguousRun { prefix: prefix.to_string(), candidates: ids })
            }
        }
    }

    /// Those of `ids` that finished (`ok` or `failed`; a timeout or a cancelled run did not, nor did a script that
    /// had made runs when its time was over, nor one for want of a module, which may be there now), with what they
    /// left.
    pub fn finished_among(&self, ids: &[&RunId]) -> Result<HashMap<RunId, RunRecord>, LabError> {
        let list = serde_json::to_string(ids).unwrap_or_default();
        let rows: Vec<SqliteRow> = self.db.read(async |c| {
            sqlx::query(
                "SELECT * FROM runs WHERE id IN (SELECT value FROM json_each(?)) AND status IN ('ok', 'failed') \
                 AND coalesce(json_extract(python, '$.fault.type'), '') \
                     NOT IN ('Timeout', 'ModuleNotFoundError', 'ImportError')",
            )
            .bind(&list)
            .fetch_all(c)
            .await
        })?;
        rows.iter().map(|row| record(row).map(|r| (r.id.clone(), r))).collect()
    }

    /// How long these scripts took with an engine, the longest of their runs on each market.
    pub fn durations(
        &self,
        scripts: impl Iterator<Item = ContentHash>,
        engine: &str,
    ) -> Result<Durations, LabError> {
        let hashes: Vec<String> = scripts.map(|hash| hash.to_string()).collect();
        let list = serde_json::to_string(&hashes).unwrap_or_default();
        let rows: Vec<(String, String, i64, i64)> = self.db.read(async |c| {
            sqlx::query_as(
                "SELECT strategy_hash, data_hash, bars, max(elapsed_us) FROM runs \
                 WHERE strategy_hash IN (SELECT value FROM json_each(?)) \
                 AND json_extract(python, '$.engine') = ? GROUP BY strategy_hash, data_hash",
            )
            .bind(&list)
            .bind(engine)
            .fetch_all(c)
            .await
        })?;
        let mut known = Durations::default();
        for (script, data, bars, us) in rows {
            let one = (data, bars.max(1) as u64, Duration::from_micros(us.max(0) as u64));
            known.0.entry(script).or_default().push(one);
        }
        Ok(known)
    }

    /// What runs of these scripts have read of the files beside them, each combination once, by the scripts' hashes.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn files_read(
        &self,
        scripts: impl Iterator<Item = ContentHash>,
    ) -> Result<HashMap<String, Vec<Reads>>, LabError> {
        let hashes: Vec<String> = scripts.map(|hash| hash.to_string()).collect();
        let list = serde_json::to_string(&hashes).unwrap_or_default();
        let rows: Vec<(String, String)> = self.db.read(async |c| {
            sqlx::query_as(
                "SELECT DISTINCT strategy_hash, json_extract(python, '$.files') FROM runs \
                 WHERE strategy_hash IN (SELECT value FROM json_each(?)) \
                 AND json_extract(python, '$.files') != '{}'",
            )
            .bind(&list)
            .fetch_all(c)
            .await
        })?;
        let mut read: HashMap<String, Vec<Reads>> = HashMap::new();
        for (script, files) in rows {
            read.entry(script).or_default().push(parse("python", &files)?);
        }
        Ok(read)
    }

    /// The leaderboard, best first.
    ///
    /// # Errors
    /// When a field is asked for that no run has.
    pub fn board(&self, query: &BoardQuery) -> Result<Vec<RunRecord>, LabError> {
        let (sql, binds) = board_sql(query);
        for bind in &binds {
            if let Bind::Input(name) = bind
                && !self.has_input(name)?
            {
                return Err(LabError::Usage(unknown_field(name)));
            }
        }
        let rows: Vec<SqliteRow> = self.db.read(async |c| {
            let mut statement = sqlx::query(AssertSqlSafe(sql));
            for bind in binds {
                statement = add(statement, bind);
            }
            statement.fetch_all(c).await
        })?;
        rows.iter().map(record).collect()
    }

    /// Whether any recorded run was given an input of this name.
    fn has_input(&self, name: &str) -> Result<bool, LabError> {
        let path = input_path(name);
        let statement = "SELECT EXISTS (SELECT 1 FROM runs WHERE json_type(params, ?) IS NOT NULL)";
        let found: i64 =
            self.db.read(async |c| sqlx::query_scalar(statement).bind(path).fetch_one(c).await)?;
        Ok(found != 0)
    }

    /// The newest jobs, newest first.
    pub fn jobs(&self, top: u32) -> Result<Vec<JobRow>, LabError> {
        let rows: Vec<SqliteRow> = self.db.read(async |c| {
            sqlx::query("SELECT * FROM jobs ORDER BY id DESC LIMIT ?").bind(top).fetch_all(c).await
        })?;
        rows.iter().map(job).collect()
    }

    /// Number of runs recorded, by status.
    pub fn counts(&self) -> Result<Vec<(String, u64)>, LabError> {
        let rows: Vec<(String, i64)> = self.db.read(async |c| {
            sqlx::query_as("SELECT status, count(*) FROM runs GROUP BY status ORDER BY status")
                .fetch_all(c)
                .await
        })?;
        Ok(rows.into_iter().map(|(status, n)| (status, n as u64)).collect())
    }
}

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

fn add<'q>(statement: Statement<'q>, bind: Bind) -> Statement<'q> {
    match bind {
        Bind::Number(x) => statement.bind(x),
        Bind::Text(text) => statement.bind(text),
        Bind::Input(name) => statement.bind(input_path(&name)),
    }
}

fn board_sql(query: &BoardQuery) -> (String, Vec<Bind>) {
    let sort = field_sql(&query.sort);
    let direction = if query.descending { "DESC" } else { "ASC" };
    let mut binds = Vec::new();
    let mut conditions = Vec::new();
    if let Some(filter) = &query.filter {
        conditions.push(format!("({})", filter.sql));
        binds.extend(filter.binds.clone());
    }
    if let Some(job) = query.job {
        conditions.push("job = ?".into());
        binds.push(Bind::Number(job as f64));
    }
    if !query.filter.as_ref().is_some_and(|f| f.sql.contains("status")) {
        conditions.push("status = 'ok'".into());
    }
    let filtered = conditions.join(" AND ");
    let order = format!("{} {direction} NULLS LAST, id", sort.sql);
    let sql = match query.group {
        None => {
            binds.extend(sort.binds);
            format!("SELECT * FROM runs WHERE {filtered} ORDER BY {order} LIMIT {}", query.top)
        }
        Some(group) => {
            let key = match group {
                GroupBy::Strategy => "strategy",
                GroupBy::Market => "symbol, timeframe",
            };
            // The place within the group binds the sort key first, before the filter's values.
            let mut all = sort.binds.clone();
            all.append(&mut binds);
            all.extend(sort.binds);
            binds = all;
            format!(
                "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {order}) AS place \
                 FROM runs WHERE {filtered}) WHERE place = 1 ORDER BY {order} LIMIT {}",
                query.top
            )
        }
    };
    (sql, binds)
}

fn job(row: &SqliteRow) -> Result<JobRow, LabError> {
    Ok(JobRow {
        id: row.try_get("id").map_err(LabError::row)?,
        started_ms: row.try_get("started_ms").map_err(LabError::row)?,
        finished_ms: row.try_get("finished_ms").map_err(LabError::row)?,
        command: row.try_get("command").map_err(LabError::row)?,
        planned: row.try_get::<i64, _>("planned").map_err(LabError::row)? as u64,
        outcome: row.try_get("outcome").map_err(LabError::row)?,
    })
}

fn record(row: &SqliteRow) -> Result<RunRecord, LabError> {
    let text = |name: &str| row.try_get::<String, _>(name).map_err(LabError::row);
    let optional = |name: &str| row.try_get::<Option<String>, _>(name).map_err(LabError::row);
    let number = |name: &str| row.try_get::<i64, _>(name).map_err(LabError::row);
    let id = text("id")?;
    Ok(RunRecord {
        id: id.parse().map_err(|_| LabError::BadRow(format!("run id `{id}`")))?,
        job: number("job")?,
        finished_ms: number("finished_ms")?,
        strategy: text("strategy")?,
        source: text("source")?,
        strategy_hash: text("strategy_hash")?,
        data: text("data")?,
        data_hash: text("data_hash")?,
        symbol: text("symbol")?,
        timeframe: text("timeframe")?,
        setup: parse("setup", &text("setup")?)?,
        rules: parse("rules", &text("rules")?)?,
        params: parse("params", &text("params")?)?,
        status: status(&text("status")?)?,
        error: optional("error")?,
        diagnostics: parse("diagnostics", &text("diagnostics")?)?,
        bars: number("bars")? as u64,
        elapsed_us: number("elapsed_us")? as u64,
        metrics: optional("metrics")?.map(|m| parse("metrics", &m)).transpose()?,
        trades_hash: optional("trades_hash")?,
        python: optional("python")?.map(|p| parse("python", &p)).transpose()?,
        log: None,
    })
}

fn parse<T: serde::de::DeserializeOwned>(column: &str, text: &str) -> Result<T, LabError> {
    serde_json::from_str(text).map_err(|error| LabError::BadRow(format!("column {column}: {error}")))
}

fn status(word: &str) -> Result<RunStatus, LabError> {
    [RunStatus::Ok, RunStatus::Failed, RunStatus::Timeout, RunStatus::Cancelled]
        .into_iter()
        .find(|s| s.as_str() == word)
        .ok_or_else(|| LabError::BadRow(format!("status `{word}`")))
}
