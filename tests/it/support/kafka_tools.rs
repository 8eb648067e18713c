//! Groups and topics as Kafka's own tools show them. Each call starts a Java program, which takes a second or two.

use std::collections::BTreeMap;

use super::own::Own;

/// Tools that take names of topics and groups without `prefix`, which they have in the cluster.
#[derive(Clone, Copy)]
pub struct KafkaTools<'a> {
    pub kafka: &'a Own,
    pub prefix: &'a str,
}

/// Line of `consumer-groups --describe`; `None` is the tool's `-`.
#[derive(Debug)]
pub struct Offsets {
    pub partition: i32,
    pub committed: Option<i64>,
    pub end: i64,
    pub lag: Option<i64>,
}

/// Line of `consumer-groups --describe --members --verbose`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Client id with the coordinator's suffix.
    pub consumer: String,
    pub client: String,
    pub partitions: Vec<i32>,
}

/// Output of a tool, or why there is none: the group does not exist yet, or rebalances.
pub type Seen<T> = Result<T, String>;

impl KafkaTools<'_> {
    pub async fn offsets(&self, group: &str) -> Seen<Vec<Offsets>> {
        let offsets = |line: &Vec<String>| Offsets {
            partition: line[2].parse().unwrap(),
            committed: number(&line[3]),
            end: line[4].parse().unwrap(),
            lag: number(&line[5]),
        };
        let mut partitions: Vec<Offsets> = self.describe(group, &[]).await?.iter().map(offsets).collect();
        partitions.sort_unstable_by_key(|partition| partition.partition);
        Ok(partitions)
    }

    /// Members ordered by consumer id.
    pub async fn members(&self, group: &str) -> Seen<Vec<GroupMember>> {
        let member = |line: &Vec<String>| GroupMember {
            consumer: line[1].clone(),
            client: line[3].clone(),
            // topic:0,1,2
            partitions: line[6].rsplit_once(':').map_or_else(Vec::new, |(_, list)| {
                list.split(',').map(|partition| partition.parse().unwrap()).collect()
            }),
        };
        let lines = self.describe(group, &["--members", "--verbose"]).await?;
        let mut members: Vec<GroupMember> = lines.iter().map(member).collect();
        members.sort_unstable_by(|a, b| a.consumer.cmp(&b.consumer));
        Ok(members)
    }

    /// State of a group and number of its members.
    pub async fn state(&self, group: &str) -> Seen<(String, usize)> {
        let lines = self.describe(group, &["--state"]).await?;
        // The columns before may be empty.
        match lines.first().map(Vec::as_slice) {
            Some([.., state, members]) => Ok((state.clone(), members.parse().unwrap())),
            _ => Err("no such group".to_owned()),
        }
    }

    /// Lists every group of the cluster.
    pub async fn groups(&self) -> Seen<Vec<String>> {
        let said = self.tool(&["consumer-groups", "--list"]).await?;
        Ok(said.split_whitespace().map(str::to_owned).collect())
    }

    /// End offsets by partition.
    pub async fn ends(&self, topic: &str) -> Seen<BTreeMap<i32, i64>> {
        let said = self.tool(&["get-offsets", "--topic", &self.name(topic)]).await?;
        let end = |line: &str| {
            let mut parts = line.rsplit(':');
            let end = parts.next()?.parse().ok()?;
            Some((parts.next()?.parse().ok()?, end))
        };
        Ok(said.lines().filter_map(end).collect())
    }

    /// Number of partitions, by `topics --describe`.
    pub async fn partitions(&self, topic: &str) -> Seen<usize> {
        let said = self.tool(&["topics", "--describe", "--topic", &self.name(topic)]).await?;
        let count = said.split_once("PartitionCount:").and_then(|(_, rest)| rest.split_whitespace().next());
        count.map(|count| count.parse().unwrap()).ok_or(said)
    }

    pub async fn alter_partitions(&self, topic: &str, partitions: usize) {
        let (topic, partitions) = (self.name(topic), partitions.to_string());
        let args = ["topics", "--alter", "--topic", &topic, "--partitions", &partitions];
        self.tool(&args).await.unwrap();
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Words of each line about the group.
    async fn describe(&self, group: &str, what: &[&str]) -> Seen<Vec<Vec<String>>> {
        let group = self.name(group);
        let args = [&["consumer-groups", "--describe", "--group", &group], what].concat();
        let said = self.tool(&args).await?;
        let lines = said.lines().map(|line| line.split_whitespace().map(str::to_owned).collect());
        Ok(lines.filter(|words: &Vec<String>| words.first().is_some_and(|first| *first == group)).collect())
    }

    async fn tool(&self, args: &[&str]) -> Seen<String> {
        self.kafka.try_run(&[&["tool"], args].concat()).await
    }
}

fn number(word: &str) -> Option<i64> {
    (word != "-").then(|| word.parse().unwrap())
}
