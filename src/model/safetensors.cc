#include "model/safetensors.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <set>

#include "base/error.h"
#include "base/json.h"

namespace stemma {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "safetensors bytes are used as they are");

constexpr uint64_t kLongestHeader = 100'000'000;
constexpr size_t kLengthBytes = 8;
constexpr size_t kMostDimensions = 32;
constexpr std::string_view kMetadataKey = "__metadata__";
constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kModelIndex = "model.safetensors.index.json";

// Foreign text in a message: quoted and escaped as JSON, and no longer than a line.
std::string shown(const Json& json) {
  constexpr size_t kLongest = 100;
  std::string text = json.dump();
  if (text.size() <= kLongest) return text;
  size_t end = kLongest;
  while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return cat(text.substr(0, end), "...");
}

// The header's numbers are plain digits; 3.0, -0 and 1e2 are not counts.
int64_t read_count(const Json& json, std::string_view where, std::string_view what) {
  int64_t value = -1;
  if (json.is_number()) {
    const std::string& text = json.number_text();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || text[0] == '-') value = -1;
  }
  check(value >= 0, where, what, " must be whole numbers from 0 to 2^63 - 1, found ", shown(json));
  return value;
}

const Json& member(const Json& info, std::string_view key, std::string_view where) {
  const Json* json = info.find(key);
  check(json != nullptr, where, "expected an object with dtype, shape and data_offsets, without ",
        key);
  return *json;
}

struct Placed {
  StoredTensor tensor;
  int64_t begin, end;
};

Placed read_entry(const std::string& name, const Json& info, std::string_view file) {
  const std::string where = cat("[", file, "] tensor ", shown(name), ": ");
  Placed placed{{name, DType::f32, {}, {}}, 0, 0};
  const Json& dtype = member(info, "dtype", where);
  check(dtype.is_string(), where, "dtype must be a string, found ", shown(dtype));
  const auto known = parse_dtype(dtype.as_string());
  if (!known) fail(Code::kUnsupported, where, "unknown dtype ", shown(dtype));
  placed.tensor.dtype = *known;

  const Json& shape = member(info, "shape", where);
  check(shape.is_array() && shape.size() <= kMostDimensions, where,
        "shape must be an array of at most ", kMostDimensions, " sizes, found ", shown(shape));
  for (const Json& size : shape.items())
    placed.tensor.shape.push_back(read_count(size, where, "sizes"));

  const Json& offsets = member(info, "data_offsets", where);
  check(offsets.is_array() && offsets.size() == 2, where,
        "data_offsets must be [begin, end], found ", shown(offsets));
  placed.begin = read_count(offsets.at(0), where, "data_offsets");
  placed.end = read_count(offsets.at(1), where, "data_offsets");

  const int64_t needed = tensor_bytes(*known, placed.tensor.shape, where);
  check(placed.begin <= placed.end && placed.end - placed.begin == needed, where, dtype.as_string(),
        " ", shown(shape), " needs ", needed, " bytes, data_offsets are ", shown(offsets));
  return placed;
}

TextMetadata read_metadata(const Json& json, std::string_view file) {
  const auto is_text = [](const Json::Member& m) { return m.second.is_string(); };
  check(json.is_object() && std::ranges::all_of(json.members(), is_text), "[", file, "] ",
        kMetadataKey, " must map strings to strings");
  TextMetadata metadata;
  for (const auto& [key, value] : json.members()) metadata.emplace_back(key, value.as_string());
  return metadata;
}

// Shard names come from outside and may only name a neighbour of the index.
void check_shard_name(std::string_view name, std::string_view where) {
  const bool plain = !name.empty() && name != "." && name != ".." &&
                     name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
  check(plain, where, "a shard must be a plain file name beside the index, found ", shown(name));
}

[[noreturn]] void fail_no_model(const fs::path& directory) {
  std::string found;
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json"})
    if (fs::exists(directory / name))
      found = cat("; there is a ", name, ", but only safetensors files are read");
  fail(Code::kNotFound, "[", directory.string(), "] found neither ", kModelFile, " nor ",
       kModelIndex, found);
}

std::string shard_name(size_t shard, size_t shards) {
  const auto five = [](size_t n) {
    const std::string digits = cat(n);
    return cat(std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0'), digits);
  };
  return cat("model-", five(shard + 1), "-of-", five(shards), ".safetensors");
}

}  // namespace

int64_t tensor_bytes(DType dtype, std::span<const int64_t> shape, std::string_view where) {
  int64_t bits = dtype_bits(dtype);
  for (const int64_t size : shape)
    check(size >= 0 && !__builtin_mul_overflow(bits, size, &bits), where, "a shape of ",
          shape.size(), " dimensions is too large");
  check(bits % 8 == 0, where, bits, " bits of ", dtype_name(dtype), " are not whole bytes");
  return bits / 8;
}

// ---- reading ----

TensorFiles TensorFiles::open(const fs::path& path) {
  TensorFiles files;
  const auto exists = [](const fs::path& p) {
    std::error_code ignored;
    return fs::exists(p, ignored);
  };
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    if (exists(path / kModelFile))
      files.add_file(path / kModelFile);
    else if (exists(path / kModelIndex))
      files.add_index(path / kModelIndex);
    else
      fail_no_model(path);
  } else if (path.string().ends_with(".index.json")) {
    files.add_index(path);
  } else {
    files.add_file(path);
  }
  return files;
}

void TensorFiles::add_file(const fs::path& path) {
  const std::string file = path.string();
  MappedFile map(path);
  const std::span<const uint8_t> bytes = map.bytes();
  check(bytes.size() >= kLengthBytes, "[", file, "] a safetensors file has at least 8 bytes, this ",
        "one has ", bytes.size());
  uint64_t length;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  check(length <= kLongestHeader, "[", file, "] the header would have ", length,
        " bytes, the limit is ", kLongestHeader, "; this is probably not a safetensors file");
  check(length <= bytes.size() - kLengthBytes, "[", file, "] the header has ", length,
        " bytes, but only ", bytes.size() - kLengthBytes, " follow; the file is cut short");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  check(text.starts_with('{'), "[", file, "] the header does not open with '{'");
  const Json header =
      Json::parse(text, cat(file, " header"), {.depth = 8, .refuse_duplicate_keys = true});
  const std::span<const uint8_t> data = bytes.subspan(kLengthBytes + length);

  std::vector<Placed> placed;
  for (const auto& [name, info] : header.members()) {
    if (name != kMetadataKey)
      placed.push_back(read_entry(name, info, file));
    else if (files_.empty())
      metadata_ = read_metadata(info, file);
    else
      read_metadata(info, file);
  }
  std::ranges::stable_sort(placed, {}, [](const Placed& p) { return std::pair(p.begin, p.end); });
  int64_t expected = 0;
  for (Placed& p : placed) {
    check(p.begin == expected, "[", file, "] tensor ", shown(p.tensor.name),
          ": its bytes begin at ", p.begin, ", the ones before end at ", expected,
          "; they must neither overlap nor leave ", "a hole");
    check(static_cast<uint64_t>(p.end) <= data.size(), "[", file, "] tensor ", shown(p.tensor.name),
          ": its bytes end at ", p.end, ", the file's data at ", data.size(),
          "; the file is cut short");
    expected = p.end;
    p.tensor.bytes =
        data.subspan(static_cast<size_t>(p.begin), static_cast<size_t>(p.end - p.begin));
    check(index_.emplace(p.tensor.name, tensors_.size()).second, "[", file, "] tensor ",
          shown(p.tensor.name), " is also in another file of this model");
    tensors_.push_back(std::move(p.tensor));
  }
  check(static_cast<uint64_t>(expected) == data.size(), "[", file, "] the tensors end at byte ",
        expected, " of the data, the file at ", data.size());
  files_.push_back(path);
  maps_.push_back(std::move(map));
}

// The model is the union of the shards; the map is held against it.
void TensorFiles::add_index(const fs::path& path) {
  const std::string where = cat("[", path.string(), "] ");
  const Json index = Json::parse_file(path, {.refuse_duplicate_keys = true});
  const Json* map = index.find("weight_map");
  check(map && map->is_object() && map->size() > 0, where,
        "expected a \"weight_map\" from tensor names to file names");
  std::set<std::string> shards;
  for (const auto& [name, shard] : map->members()) {
    check(shard.is_string(), where, "the shard of ", shown(name), " must be a file name");
    check_shard_name(shard.as_string(), where);
    shards.insert(shard.as_string());
  }
  std::unordered_map<std::string, std::pair<size_t, size_t>> range;  // of each shard's tensors
  for (const std::string& shard : shards) {
    const fs::path file = path.parent_path() / shard;
    std::error_code ignored;
    if (!fs::exists(file, ignored))
      fail(Code::kNotFound, where, "the shard ", shown(shard), " is missing beside the index");
    const size_t begin = tensors_.size();
    add_file(file);
    range[shard] = {begin, tensors_.size()};
  }
  for (const auto& [name, shard] : map->members()) {
    const auto found = index_.find(name);
    const auto [begin, end] = range[shard.as_string()];
    check(found != index_.end() && found->second >= begin && found->second < end, where, "tensor ",
          shown(name), " is not in its shard ", shown(shard));
  }
}

const StoredTensor* TensorFiles::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const StoredTensor& TensorFiles::at(std::string_view name) const {
  if (const StoredTensor* tensor = find(name)) return *tensor;
  fail(Code::kNotFound, "[", files_.front().string(), "] there is no tensor \"", name,
       "\" among the ", tensors_.size(), " of this model");
}

// ---- writing ----

TensorEntry tensor_entry(std::string name, DType dtype, std::vector<int64_t> shape,
                         std::span<const uint8_t> bytes) {
  return {std::move(name), dtype, std::move(shape),
          [bytes](const ByteSink& sink) { sink(bytes.data(), bytes.size()); }};
}

void write_safetensors(const fs::path& path, std::span<const TensorEntry> entries,
                       const TextMetadata& metadata) {
  const std::string where = cat("[", path.string(), "] ");
  std::vector<const TensorEntry*> order;
  for (const TensorEntry& entry : entries) order.push_back(&entry);
  std::ranges::sort(order, {}, [](const TensorEntry* e) {
    return std::pair(-dtype_bits(e->dtype), std::string_view(e->name));
  });

  std::set<std::string_view> names{kMetadataKey};
  std::vector<int64_t> sizes;
  int64_t offset = 0;
  Json fields;
  for (const auto& [key, value] : metadata) fields.set(key, value);
  // Compact, unlike Json::dump(), for files equal to the reference library's.
  std::string header = "{";
  const char* comma = "";
  if (!metadata.empty()) {
    header += cat(Json(kMetadataKey).dump(), ":{");
    for (const auto& [key, value] : fields.members()) {
      header += cat(comma, Json(key).dump(), ":", value.dump());
      comma = ",";
    }
    header += '}';
  }
  for (const TensorEntry* entry : order) {
    const std::string tensor = cat(where, "tensor \"", entry->name, "\": ");
    check(names.insert(entry->name).second, tensor, "the name is given twice or reserved");
    const int64_t bytes = tensor_bytes(entry->dtype, entry->shape, tensor);
    header += cat(comma, Json(entry->name).dump(), ":{\"dtype\":\"", dtype_name(entry->dtype),
                  "\",\"shape\":[");
    for (size_t i = 0; i < entry->shape.size(); ++i) header += cat(i ? "," : "", entry->shape[i]);
    header += cat("],\"data_offsets\":[", offset, ",", offset + bytes, "]}");
    comma = ",";
    offset += bytes;
    sizes.push_back(bytes);
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  check(header.size() <= kLongestHeader, where, "the header of ", entries.size(),
        " tensors is longer than ", kLongestHeader, " bytes");

  write_file(path, [&](const ByteSink& sink) {
    const uint64_t length = header.size();
    sink(&length, sizeof length);
    sink(header.data(), header.size());
    for (size_t i = 0; i < order.size(); ++i) {
      int64_t written = 0;
      order[i]->fill([&](const void* data, size_t bytes) {
        sink(data, bytes);
        written += static_cast<int64_t>(bytes);
      });
      check(written == sizes[i], where, "tensor \"", order[i]->name, "\": its shape needs ",
            sizes[i], " bytes, ", written, " were given");
    }
  });
}

void write_model_tensors(const fs::path& directory, std::span<const TensorEntry> entries,
                         int64_t shard_bytes) {
  int64_t total = 0;
  std::vector<size_t> starts{0};  // of the shards, in the order of entries
  int64_t in_shard = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::string where = cat("[", directory.string(), "] tensor \"", entries[i].name, "\": ");
    const int64_t bytes = tensor_bytes(entries[i].dtype, entries[i].shape, where);
    if (i > starts.back() && in_shard + bytes > shard_bytes) {
      starts.push_back(i);
      in_shard = 0;
    }
    in_shard += bytes;
    total += bytes;
  }
  if (starts.size() == 1) return write_safetensors(directory / kModelFile, entries);

  Json map = Json::object();
  const size_t shards = starts.size();
  starts.push_back(entries.size());
  for (size_t s = 0; s < shards; ++s) {
    const std::string name = shard_name(s, shards);
    const auto shard = entries.subspan(starts[s], starts[s + 1] - starts[s]);
    for (const TensorEntry& entry : shard) {
      check(!map.has(entry.name), "[", directory.string(), "] tensor \"", entry.name,
            "\" is given twice");
      map.set(entry.name, name);
    }
    write_safetensors(directory / name, shard);
  }
  Json index;
  index["metadata"]["total_size"] = total;
  index.set("weight_map", std::move(map));
  write_file(directory / kModelIndex, index.dump(2) + "\n");
  // An older unsharded file would be found before the index.
  std::error_code ignored;
  fs::remove(directory / kModelFile, ignored);
}

}  // namespace stemma
