// Safetensors: a strict reader (memory-mapped, nothing is copied) and a writer for tensors by name.
// Format: u64 little-endian header length N <= 100,000,000; N bytes of JSON that map each name to
// {dtype, shape, data_offsets}, maybe padded with spaces; then the data. Refused are duplicate
// names, shapes whose size is not that of their bytes, and offsets that overlap, leave a hole or do
// not end with the file. Large models are cut into files listed by a *.index.json.
// Errors: Code::kNotFound for absent files and tensors, Code::kUnsupported for an unknown dtype,
// else Code::kFailed. Source: github.com/huggingface/safetensors, README and tensor.rs.
// Thread safety: a const TensorFiles may be read from many threads. The files must not be cut
// short while they are open.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/file.h"
#include "tensor/dtype.h"

namespace stemma {

struct StoredTensor {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;      // [] is a scalar; zeros are allowed
  std::span<const uint8_t> bytes;  // row-major, little-endian; maybe not aligned to the dtype
};

// The number of bytes of a tensor; an Error where it overflows or is not whole. `where` opens it.
int64_t tensor_bytes(DType dtype, std::span<const int64_t> shape, std::string_view where);

using TextMetadata = std::vector<std::pair<std::string, std::string>>;

class TensorFiles {
 public:
  // `path` is a .safetensors file, an index (*.index.json), or a directory with a
  // model.safetensors or else a model.safetensors.index.json.
  static TensorFiles open(const std::filesystem::path& path);

  const std::vector<StoredTensor>& tensors() const { return tensors_; }  // by file, then by offset
  const StoredTensor* find(std::string_view name) const;
  const StoredTensor& at(std::string_view name) const;
  const TextMetadata& metadata() const { return metadata_; }  // of the first file
  const std::vector<std::filesystem::path>& files() const { return files_; }

 private:
  void add_file(const std::filesystem::path& path);
  void add_index(const std::filesystem::path& path);

  std::vector<std::filesystem::path> files_;
  std::vector<MappedFile> maps_;
  std::vector<StoredTensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
  TextMetadata metadata_;
};

// What is to be written: `fill` streams exactly the bytes that dtype and shape ask for.
struct TensorEntry {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;
  std::function<void(const ByteSink&)> fill;
};
// An entry for bytes that lie in memory and outlive it.
TensorEntry tensor_entry(std::string name, DType dtype, std::vector<int64_t> shape,
                         std::span<const uint8_t> bytes);

// Writes one file, atomically. Tensors are laid out by falling element size, then by name, as the
// reference library does, so that each is aligned and equal tensors give equal files.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorEntry> entries,
                       const TextMetadata& metadata = {{"format", "pt"}});

// Writes model.safetensors into `directory`, or where the tensors exceed `shard_bytes`
// model-00001-of-0000N.safetensors (in the entries' order, a tensor is never cut) and
// model.safetensors.index.json. Each file is atomic; for all of them see write_directory().
void write_model_tensors(const std::filesystem::path& directory,
                         std::span<const TensorEntry> entries, int64_t shard_bytes = 5'000'000'000);

}  // namespace stemma
