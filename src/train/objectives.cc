#include "train/objectives.h"

#include <algorithm>

#include "ops/cross_entropy.h"
#include "ops/losses.h"
#include "ops/primitives.h"

namespace stemma {
namespace {

constexpr int32_t kNotCounted = -100;

Ints ints_of(const Tensor& t) { return t.to_vector<int32_t>(); }

int64_t counted(const Ints& labels) {
  return std::count_if(labels.begin(), labels.end(), [](int32_t label) { return label >= 0; });
}

// The mean of -log softmax(logits) [R,N] at the labels that are counted.
Tensor mean_cross_entropy(Ctx& c, const Tensor& logits, const Ints& labels,
                          std::string_view where) {
  const int64_t rows = logits.extent(0), classes = logits.extent(1);
  check(static_cast<int64_t>(labels.size()) == rows, "[", where, "] ", labels.size(),
        " labels for ", rows, " rows of logits");
  for (int32_t label : labels)
    check(label < classes, "[", where, "] label ", label, " is not one of ", classes, " classes");
  const int64_t count = counted(labels);
  check(count > 0, "[", where, "] no label is counted");
  const Tensor losses = cross_entropy(c, logits, Tensor::from(c, labels));
  return mul(c, sum_all(c, losses), 1.0 / static_cast<double>(count));
}

Tensor mean(Ctx& c, const Tensor& losses) {
  return mul(c, sum_all(c, losses), 1.0 / static_cast<double>(losses.elements()));
}

class ClassLoss {
 public:
  ClassLoss(Ctx& c, const Model& model, const Batch& batch, const Tensor& hidden,
            const Labels& labels)
      : c_(c), model_(model), batch_(batch), hidden_(hidden), labels_(labels) {}

  Tensor total() {
    for (const HeadLayer& head : model_.heads())
      std::visit([&](const auto& h) { add_head(h); }, head);
    if (!total_) fail(Code::kUnsupported, "[loss] the model has no head that takes labels");
    return total_;
  }

 private:
  const Tensor& label(std::string_view name) const {
    for (const auto& [key, value] : labels_)
      if (key == name) return value;
    fail(Code::kFailed, "[loss] the model's loss needs the input ", name);
  }

  void include(const Tensor& loss) { total_ = total_ ? add(c_, total_, loss) : loss; }

  void add_head(const PoolerLayer& pooler) { pooled_ = pooler(c_, batch_, hidden_); }

  void add_head(const LmHeadLayer& lm) {
    Ints labels = ints_of(label("labels"));
    // What a decoder behind an encoder reads is its labels one place later.
    if (lm.spec.predicts == Predicts::next && !model_.spec().reads_source())
      labels = next_labels(batch_.main, labels);
    const LossSum loss = training_loss(c_, model_, batch_, hidden_, labels);
    check(loss.count > 0, "[loss] no label is counted");
    include(mul(c_, loss.sum, 1.0 / static_cast<double>(loss.count)));
  }

  void add_head(const ClassifierLayer& classifier) {
    const Tensor logits = classifier(c_, batch_, hidden_, pooled_);
    const Tensor& right = label(classifier.spec.label);
    const bool whole = right.dtype() == DType::i32;
    const Problem problem =
        classifier.spec.problem.value_or(classifier.spec.labels == 1 ? Problem::regression
                                         : whole                     ? Problem::single_label
                                                                     : Problem::multi_label);
    switch (problem) {
      case Problem::single_label:
        return include(mean_cross_entropy(c_, logits, ints_of(right), classifier.spec.name));
      case Problem::choice: {
        const int64_t rows = right.elements();
        check(rows > 0 && logits.elements() % rows == 0, "[", classifier.spec.name, "] ",
              logits.elements(), " choices cannot be cut into ", rows, " questions");
        const Tensor grouped = reshape(c_, logits, {rows, logits.elements() / rows});
        return include(mean_cross_entropy(c_, grouped, ints_of(right), classifier.spec.name));
      }
      case Problem::multi_label:
        return include(
            mean(c_, binary_cross_entropy_with_logits(c_, logits, numbers(logits, right))));
      case Problem::regression:
        return include(mean(c_, squared_error(c_, logits, numbers(logits, right))));
    }
  }

  // Labels that are numbers, as the logits are laid out.
  Tensor numbers(const Tensor& logits, const Tensor& right) {
    check(right.elements() == logits.elements(), "[loss] labels of shape ",
          right.shape().to_string(), " for logits of shape ", logits.shape().to_string());
    return reshape(c_, cast(c_, right, logits.dtype()), logits.shape());
  }

  void add_head(const SpanHeadLayer& span) {
    const Tensor both = span(c_, hidden_);  // [T,2]
    include(
        mul(c_, add(c_, edge(both, 0, "start_positions"), edge(both, 1, "end_positions")), 0.5));
  }

  void add_head(const ReplacedHeadLayer& replaced) {
    const Tensor logits = replaced(c_, batch_, hidden_);
    include(
        mean(c_, binary_cross_entropy_with_logits(c_, logits, numbers(logits, label("labels")))));
  }

  // Mean over the sequences of the cross-entropy among their own tokens.
  Tensor edge(const Tensor& both, int column, std::string_view name) {
    const Ints positions = ints_of(label(name));
    const Stream& stream = batch_.main;
    check(static_cast<int>(positions.size()) == stream.sequences(), "[loss] ", positions.size(),
          " ", name, " for ", stream.sequences(), " sequences");
    Tensor sum;
    int64_t count = 0;
    for (size_t s = 0; s < positions.size(); ++s) {
      const int32_t begin = stream.start[s], length = stream.start[s + 1] - begin;
      const int32_t position = std::max(positions[s], 0);
      if (position >= length) continue;
      const Tensor rows = slice(c_, both, 0, begin, begin + length);
      const Tensor logits = reshape(c_, slice(c_, rows, 1, column, column + 1), {1, length});
      const Tensor loss = sum_all(c_, cross_entropy(c_, logits, Tensor::from(c_, Ints{position})));
      sum = sum ? add(c_, sum, loss) : loss;
      ++count;
    }
    check(count > 0, "[loss] none of ", name, " lies inside its sequence");
    return mul(c_, sum, 1.0 / static_cast<double>(count));
  }

  Ctx& c_;
  const Model& model_;
  const Batch& batch_;
  const Tensor& hidden_;
  const Labels& labels_;
  Tensor pooled_, total_;
};

}  // namespace

LossSum language_loss(Ctx& c, const Model& model, const Tensor& hidden, const Ints& labels) {
  const auto* head = model.head<LmHeadLayer>();
  if (!head) fail(Code::kUnsupported, "[loss] the model has no language-model head");
  check(static_cast<int64_t>(labels.size()) == hidden.extent(0), "[loss] ", labels.size(),
        " labels for ", hidden.extent(0), " tokens");
  const int vocab = model.spec().embed.vocab;
  PoolVector<int32_t> rows(c.pool), right(c.pool);
  rows.reserve(labels.size()), right.reserve(labels.size());
  for (size_t t = 0; t < labels.size(); ++t) {
    if (labels[t] < 0) continue;
    check(labels[t] < vocab, "[loss] label ", labels[t], " is not in a vocabulary of ", vocab);
    rows.push_back(static_cast<int32_t>(t));
    right.push_back(labels[t]);
  }
  if (rows.empty()) return {};
  const auto count = static_cast<int64_t>(rows.size());
  const auto tensor = [&](const auto& ints) { return Tensor::from<int32_t>(c, ints, {count}); };
  const Tensor x = rows.size() == labels.size() ? hidden : gather(c, hidden, tensor(rows));
  return {sum_all(c, head->loss(c, x, tensor(right))), count};
}

LossSum training_loss(Ctx& c, const Model& model, const Batch& batch, const Tensor& hidden,
                      const Ints& labels) {
  LossSum loss = language_loss(c, model, hidden, labels);
  const auto& modules = model.spec().multi_token;
  if (!modules || loss.count == 0) return loss;
  const double share = modules->share / static_cast<double>(modules->modules.size());
  size_t ahead = 0;
  for (const MultiTokenLayer::Further& further : model.further(c, batch, hidden)) {
    ++ahead;
    Ints later;
    for (int32_t row : further.rows) later.push_back(labels[static_cast<size_t>(row) + ahead]);
    const LossSum more = language_loss(c, model, further.hidden, later);
    if (more.count > 0) loss.sum = add(c, loss.sum, mul(c, more.sum, share));
  }
  return loss;
}

Tensor sentence_loss(Ctx& c, const Model& model, const Batch& batch, const Tensor& hidden,
                     const Ints& labels) {
  const auto* pooler = model.head<PoolerLayer>();
  const auto* classifier = model.head<ClassifierLayer>();
  if (!pooler || !classifier)
    fail(Code::kUnsupported, "[loss] the model has no classifier of whole sequences");
  const Tensor logits = (*classifier)(c, batch, hidden, (*pooler)(c, batch, hidden));
  check(static_cast<int64_t>(labels.size()) == logits.extent(0), "[loss] ", labels.size(),
        " labels for ", logits.extent(0), " sequences");
  return sum_all(c, cross_entropy(c, logits, Tensor::from(c, labels)));
}

Ints next_labels(const Stream& stream, const Ints& labels) {
  check(static_cast<int64_t>(labels.size()) == stream.tokens(), "[loss] ", labels.size(),
        " labels for ", stream.tokens(), " tokens");
  Ints next(labels.size(), kNotCounted);
  for (int s = 0; s < stream.sequences(); ++s) {
    const auto i = static_cast<size_t>(s);
    for (int32_t t = stream.start[i]; t + 1 < stream.start[i + 1]; ++t)
      next[static_cast<size_t>(t)] = labels[static_cast<size_t>(t) + 1];
  }
  return next;
}

Tensor class_loss(Ctx& c, const Model& model, const Batch& batch, const Tensor& hidden,
                  const Labels& labels) {
  return ClassLoss(c, model, batch, hidden, labels).total();
}

}  // namespace stemma
