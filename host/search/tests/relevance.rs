//! Ranking and answers stay at least as good as promised, on judged queries.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Set, json_lines, sets};
use tributary_search::{
    SearchRequest,
    answer::{Passage, best_sentences},
};

#[test]
fn products_are_found_by_words_identifiers_and_despite_typing_mistakes() {
    let Some(sets) = sets() else { return };
    let set = Set::load(sets.join("chorus_icecat"));
    let (words, _) = set.score("queries.jsonl", "qrels.tsv");
    let (_, identifiers) = set.score("sku_queries.jsonl", "sku_qrels.tsv");
    let (typos, _) = set.score("typo_queries.jsonl", "qrels.tsv");
    println!("chorus_icecat: nDCG@10 {words:.4}, identifiers P@1 {identifiers:.4}, typos nDCG@10 {typos:.4}");
    assert!(words >= 0.84 && identifiers >= 0.99 && typos >= 0.65);
}

#[test]
fn help_answers_are_found_by_paraphrased_questions() {
    let Some(sets) = sets() else { return };
    let (ndcg, _) = Set::load(sets.join("stackfaq")).score("queries.jsonl", "qrels.tsv");
    println!("stackfaq: nDCG@10 {ndcg:.4}");
    assert!(ndcg >= 0.76);
}

#[test]
fn paragraphs_are_found_and_their_best_sentences_hold_the_answer() {
    let Some(sets) = sets() else { return };
    let set = Set::load(sets.join("xquad_en"));
    let (ndcg, _) = set.score("queries.jsonl", "qrels.tsv");
    let (mut first, mut three, mut count) = (0.0, 0.0, 0.0);
    for query in json_lines(&set.dir.join("queries.jsonl")) {
        let question = query["text"].as_str().unwrap();
        let mut request = SearchRequest::new(question, 8);
        request.per_document = false;
        let hits = set.indexes.search(set.workspace, &request).unwrap().hits;
        let passages: Vec<Passage<'_>> = hits
            .iter()
            .map(|hit| {
                let live = set.documents[hit.document_id.0.as_u128() as usize - 1].live.as_ref().unwrap();
                Passage { text: &live.chunks[hit.chunk as usize].text, language: None }
            })
            .collect();
        let sentences: Vec<String> = best_sentences(question, &passages, 3)
            .iter()
            .map(|found| passages[found.passage].text.chars().skip(found.start).take(found.end - found.start).collect())
            .collect();
        let answers: Vec<&str> = query["answers"].as_array().unwrap().iter().filter_map(|a| a.as_str()).collect();
        let holds = |sentence: &String| answers.iter().any(|answer| sentence.contains(answer));
        first += f64::from(u8::from(sentences.first().is_some_and(holds)));
        three += f64::from(u8::from(sentences.iter().any(holds)));
        count += 1.0;
    }
    let (first, three) = (first / count, three / count);
    println!("xquad_en: nDCG@10 {ndcg:.4}, best sentence holds the answer {first:.4}, best three {three:.4}");
    assert!(ndcg >= 0.970 && first >= 0.80 && three >= 0.94);
}
