// Downloads a model into the Hugging Face cache, as huggingface_hub would have: blobs named by
// their ETag, links to them in the commit's snapshot, refs last, so that a name never leads to less
// than it did before. Only files that Stemma reads are fetched (needed_files).
//
// A file grows in blobs/<etag>.incomplete under a lock between processes; what is there when the
// process or the connection ends is gone on with by the next run (where a SHA-256 can vouch for the
// whole). A blob gets its name only when its length and, for large files, its SHA-256 are right.
// Errors: as hub/client.h; a full disk, damaged content, unsafe names.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "hub/client.h"
#include "hub/name.h"

namespace stemma {

struct PullOptions {
  // Called as bytes of a file arrive; `total` is 0 where the hub does not say it.
  std::function<void(const std::string& file, uint64_t done, uint64_t total)> progress;
  Notice notice;
  std::chrono::milliseconds first_wait{500};  // before the first of several tries; then doubled
};

struct PulledFile {
  std::string name;
  uint64_t bytes;
  bool fetched;  // else it was here
};

struct Pulled {
  std::string repo, revision, commit;
  std::filesystem::path path{};  // the snapshot
  std::vector<PulledFile> files{};
  uint64_t received = 0;  // bytes over the network
};

// A bare name that the hub does not know is looked for among sentence-transformers' models.
Pulled pull_model(const ModelName& name, const PullOptions& options = {});

// Those of a revision's files that Stemma reads, in the order of download: weights last, so that
// what tells whether a snapshot is complete comes last.
std::vector<std::string> needed_files(const std::vector<std::string>& files);

}  // namespace stemma
