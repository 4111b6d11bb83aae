#include "eval/case.h"

#include <algorithm>
#include <cstring>

namespace stemma {
namespace {

namespace fs = std::filesystem;

template <class Raw, class F>
void convert(const StoredTensor& stored, std::vector<double>& out, F f) {
  const size_t n = stored.bytes.size() / sizeof(Raw);
  out.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    Raw raw;
    std::memcpy(&raw, stored.bytes.data() + i * sizeof raw, sizeof raw);
    out.push_back(static_cast<double>(f(raw)));
  }
}

}  // namespace

Numbers Numbers::rows(int64_t begin, int64_t end) const {
  const int64_t width = elements() / std::max<int64_t>(1, shape.at(0));
  Numbers part;
  part.shape = shape;
  part.shape[0] = end - begin;
  part.whole = whole;
  part.values.assign(values.begin() + begin * width, values.begin() + end * width);
  return part;
}

Numbers read_numbers(const StoredTensor& stored) {
  Numbers out;
  out.shape = stored.shape;
  out.whole = stored.dtype != DType::f32 && stored.dtype != DType::f64 &&
              stored.dtype != DType::bf16 && stored.dtype != DType::f16;
  auto same = [](auto v) { return v; };
  switch (stored.dtype) {
    case DType::f32:
      convert<float>(stored, out.values, same);
      break;
    case DType::f64:
      convert<double>(stored, out.values, same);
      break;
    case DType::bf16:
      convert<uint16_t>(stored, out.values, widen_bf16);
      break;
    case DType::f16:
      convert<uint16_t>(stored, out.values, widen_f16);
      break;
    case DType::i64:
      convert<int64_t>(stored, out.values, same);
      break;
    case DType::i32:
      convert<int32_t>(stored, out.values, same);
      break;
    case DType::u8:
    case DType::boolean:
      convert<uint8_t>(stored, out.values, same);
      break;
    default:
      fail(Code::kUnsupported, "[case] tensor ", stored.name, " is stored as ",
           dtype_name(stored.dtype));
  }
  return out;
}

bool Padded::holds(const Numbers& padded, const Tensor& ours) const {
  return padded.shape.size() >= 2 && padded.shape[0] * padded.shape[1] == tokens() &&
         ours.rank() >= 1 && ours.extent(0) == static_cast<int64_t>(places.size());
}

std::optional<TargetIds> target_ids(const Checkpoint& checkpoint) {
  const ModelSpec& spec = checkpoint.model->spec();
  if (!spec.reads_source()) return std::nullopt;
  const Json* pad = checkpoint.config.find("pad_token_id");
  return TargetIds{spec.decoder_start,
                   pad && pad->is_number() ? static_cast<int32_t>(pad->as_int()) : 0};
}

CaseInputs::CaseInputs(const TensorFiles& files, std::optional<TargetIds> target)
    : target_(target) {
  for (const StoredTensor& t : files.tensors()) inputs_.emplace_back(t.name, read_numbers(t));
  unpad();
}

CaseInputs::CaseInputs(const TensorFiles& files, int64_t step, std::optional<TargetIds> target)
    : target_(target) {
  for (const StoredTensor& t : files.tensors()) {
    if (t.name.starts_with("final.")) continue;
    Numbers one = read_numbers(t).rows(step, step + 1);
    one.shape.erase(one.shape.begin());
    inputs_.emplace_back(t.name, std::move(one));
  }
  unpad();
}

CaseInputs CaseInputs::part(int64_t begin, int64_t end) const {
  Named inputs;
  check(!has("mems.0"), "[case] memory cannot be cut into parts");
  for (const auto& [name, numbers] : inputs_) inputs.emplace_back(name, numbers.rows(begin, end));
  return CaseInputs(std::move(inputs), target_);
}

const Numbers* CaseInputs::find(std::string_view name) const {
  for (const auto& [key, numbers] : inputs_)
    if (key == name) return &numbers;
  return nullptr;
}

const Numbers& CaseInputs::at(std::string_view name) const {
  const Numbers* found = find(name);
  check(found, "[case] the inputs have no ", name);
  return *found;
}

Ints CaseInputs::per_token(std::string_view name) const {
  const Numbers& numbers = at(name);
  const Padded& layout = batch_.main.targets.empty() ? main_ : targets_;
  check(numbers.elements() == layout.tokens(), "[case] ", name, " is not one value a ",
        batch_.main.targets.empty() ? "token" : "target");
  Ints out;
  for (int64_t place : layout.places)
    out.push_back(static_cast<int32_t>(numbers.values[static_cast<size_t>(place)]));
  return out;
}

void CaseInputs::unpad() {
  for (const auto& [name, numbers] : inputs_)
    if ((name.starts_with("decoder_") && !target_) || name == "decoder_inputs_embeds" ||
        name == "inputs_embeds")
      fail(Code::kUnsupported, "[case] input ", name,
           " belongs to a model that is not supported yet");
  const Numbers& ids = at("input_ids");
  const Numbers* mask = find("attention_mask");
  if (!target_) {
    main_ = append_real(batch_.main, ids, mask, find("token_type_ids"), find("position_ids"));
    read_order();
    return;
  }
  source_ = append_real(batch_.source.emplace(), ids, mask, nullptr, nullptr);
  main_ = append_real(batch_.main, decoder_ids(), find("decoder_attention_mask"), nullptr, nullptr);
  check(main_.sequences == source_.sequences, "[case] ", source_.sequences, " sources for ",
        main_.sequences, " targets");
}

// As given, else the labels one place later, else the source.
Numbers CaseInputs::decoder_ids() const {
  if (const Numbers* given = find("decoder_input_ids")) return *given;
  const Numbers& right = has("labels") ? at("labels") : at("input_ids");
  const auto length = static_cast<size_t>(right.shape.back());
  Numbers ids = right;
  for (size_t i = 0; i < ids.values.size(); ++i) {
    const double before = i % length ? right.values[i - 1] : target_->start;
    ids.values[i] = before < 0 ? target_->pad : before;
  }
  return ids;
}

Padded CaseInputs::append_real(Stream& stream, const Numbers& ids, const Numbers* mask,
                               const Numbers* types, const Numbers* positions) const {
  check(ids.shape.size() >= 2, "[case] token ids are not [B,T]");
  Padded padded;
  padded.length = ids.shape.back();
  padded.sequences = padded.length ? ids.elements() / padded.length : 0;
  for (const Numbers* other : {mask, types, positions})
    check(!other || other->elements() == ids.elements(),
          "[case] a mask, token types or positions differ in size from the token ids");
  for (int64_t b = 0; b < padded.sequences; ++b) {
    Ints sequence, sequence_types, sequence_positions;
    for (int64_t t = 0; t < padded.length; ++t) {
      const auto i = static_cast<size_t>(b * padded.length + t);
      if (mask && mask->values[i] == 0) continue;
      padded.places.push_back(b * padded.length + t);
      sequence.push_back(static_cast<int32_t>(ids.values[i]));
      if (types) sequence_types.push_back(static_cast<int32_t>(types->values[i]));
      // transformers counts positions from the first column, padded or not.
      sequence_positions.push_back(
          static_cast<int32_t>(positions ? positions->values[i] : static_cast<double>(t)));
    }
    const size_t begin = stream.positions.size();
    stream.append(sequence, sequence_types);
    std::copy(sequence_positions.begin(), sequence_positions.end(),
              stream.positions.begin() + static_cast<int64_t>(begin));
  }
  return padded;
}

// perm_mask [B,T,T], where 1 hides, and target_mapping [B,K,T], whose rows name a position each.
void CaseInputs::read_order() {
  const Ints& start = batch_.main.start;
  const int64_t length = main_.length;
  if (const Numbers* hidden = find("perm_mask")) {
    check(hidden->elements() == main_.tokens() * length, "[case] perm_mask is not [B,T,T]");
    std::vector<Bits> seen;
    for (size_t b = 0; b < static_cast<size_t>(main_.sequences); ++b) {
      const int64_t n = start[b + 1] - start[b];
      const int64_t* places = main_.places.data() + start[b];
      Bits& bits = seen.emplace_back(n, n);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j)
          if (hidden->values[static_cast<size_t>(places[i] * length + places[j] % length)] == 0)
            bits.show(i, j);
    }
    batch_.main.seen = Bitmap(std::move(seen));
  }
  const Numbers* mapping = find("target_mapping");
  if (!mapping) return;
  check(mapping->shape.size() == 3 && mapping->shape[0] == main_.sequences &&
            mapping->shape[2] == length,
        "[case] target_mapping is not [B,K,T]");
  targets_.sequences = main_.sequences, targets_.length = mapping->shape[1];
  batch_.main.target_start = {0};
  for (int64_t b = 0; b < main_.sequences; ++b) {
    const auto first = main_.places.begin() + start[static_cast<size_t>(b)],
               last = main_.places.begin() + start[static_cast<size_t>(b) + 1];
    for (int64_t k = 0; k < targets_.length; ++k) {
      const auto row = mapping->values.begin() + (b * targets_.length + k) * length;
      const auto one = std::find_if(row, row + length, [](double v) { return v != 0; });
      if (one == row + length) continue;
      check(*one == 1 && std::count(row, row + length, 0.0) == length - 1,
            "[case] a row of target_mapping is more than one position");
      const auto place = std::find(first, last, b * length + (one - row));
      check(place != last, "[case] a row of target_mapping names a padded position");
      batch_.main.targets.push_back(static_cast<int32_t>(place - first));
      targets_.places.push_back(b * targets_.length + k);
    }
    batch_.main.target_start.push_back(static_cast<int32_t>(batch_.main.targets.size()));
  }
}

void CaseInputs::fit(Ctx& c, const ModelSpec& spec) {
  const auto* attention = std::get_if<Attention>(&spec.stack().blocks.at(0).mixer);
  const auto* xl = attention ? std::get_if<TransformerXl>(&attention->position) : nullptr;
  const auto sequences = static_cast<size_t>(main_.sequences);
  if (xl && xl->halves_opposed) {
    batch_.main.reversed.assign(sequences, 0);
    std::fill(batch_.main.reversed.begin() + main_.sequences / 2, batch_.main.reversed.end(), 1);
  }
  for (int layer = 0; const Numbers* hidden = find(cat("mems.", layer)); ++layer) {
    check(hidden->shape.size() == 3 && hidden->shape[1] == main_.sequences, "[case] mems.", layer,
          " is not [M,B,C]");
    const int64_t length = hidden->shape[0], width = hidden->shape[2];
    std::vector<float> rows;
    for (int64_t b = 0; b < main_.sequences; ++b)
      for (int64_t m = 0; m < length; ++m)
        for (int64_t k = 0; k < width; ++k)
          rows.push_back(static_cast<float>(
              hidden->values[static_cast<size_t>((m * main_.sequences + b) * width + k)]));
    batch_.memory.layers.push_back(Tensor::from<float>(c, rows, {length * main_.sequences, width}));
    batch_.memory.start.clear();
    for (int64_t b = 0; b <= main_.sequences; ++b)
      batch_.memory.start.push_back(static_cast<int32_t>(b * length));
  }
}

Checkpoint load_case_model(Ctx& c, const fs::path& folder) {
  const fs::path adapter = folder / "adapter";
  return load_checkpoint(
      c, folder / "model",
      {.adapter = fs::exists(adapter) ? adapter : fs::path(), .format = Format::f32});
}

std::vector<fs::path> find_cases(const fs::path& folder) {
  if (!fs::exists(folder)) fail(Code::kNotFound, "[verify] there is no folder ", folder.string());
  if (fs::exists(folder / "case.json")) return {folder};
  std::vector<fs::path> cases;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().filename() == "case.json")
      cases.push_back(entry.path().parent_path());
  std::sort(cases.begin(), cases.end());
  if (cases.empty())
    fail(Code::kNotFound, "[verify] ", folder.string(), " holds no case.json, at any depth");
  return cases;
}

}  // namespace stemma
