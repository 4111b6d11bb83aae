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
  check(numbers.elements() == main_.tokens(), "[case] ", name, " is not one value a token");
  Ints out;
  for (int64_t place : main_.places)
    out.push_back(static_cast<int32_t>(numbers.values[static_cast<size_t>(place)]));
  return out;
}

void CaseInputs::unpad() {
  for (const auto& [name, numbers] : inputs_)
    if ((name.starts_with("decoder_") && !target_) || name == "decoder_inputs_embeds" ||
        name == "inputs_embeds" || name == "perm_mask" || name == "target_mapping")
      fail(Code::kUnsupported, "[case] input ", name,
           " belongs to a model that is not supported yet");
  const Numbers& ids = at("input_ids");
  const Numbers* mask = find("attention_mask");
  if (!target_) {
    main_ = append_real(batch_.main, ids, mask, find("token_type_ids"), find("position_ids"));
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
