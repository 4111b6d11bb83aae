// Models kept on this machine: the Hugging Face cache, in the layout that huggingface_hub reads and
// writes, and Stemma's own folder for models that came another way.
//
//   $HF_HUB_CACHE | $HF_HOME/hub | $XDG_CACHE_HOME/huggingface/hub | ~/.cache/huggingface/hub
//     models--org--name/refs/main          the commit that a branch or tag stands for
//                       blobs/<etag>       contents, once each
//                       snapshots/<commit>/config.json -> ../../blobs/<etag>
//     .locks/models--org--name/<etag>.lock
//   $STEMMA_CACHE/models/name | $XDG_CACHE_HOME/stemma/models/name | ~/.cache/stemma/models/name
//
// Errors: Code::kNotFound where a name is in no cache, saying where was looked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hub/name.h"

namespace stemma {

// The places, from the environment.
std::filesystem::path hugging_face_home();
std::filesystem::path hub_cache();
std::filesystem::path own_cache();

// Folders of one model in the Hugging Face cache.
std::filesystem::path repo_folder(std::string_view repo);
std::filesystem::path locks_folder(std::string_view repo);

// What of a model must be there: the weights, or whatever files there are.
enum class Need { weights, any_file };

// The directory of a model: `text` itself where such a path exists, else the name's snapshot in the
// Hugging Face cache, else Stemma's own copy. Never downloads.
std::filesystem::path resolve_model(const std::string& text, Need need = Need::weights);

// One revision of a model.
struct CachedModel {
  std::string name;                 // "org/name"; "name" in Stemma's own folder
  bool own = false;                 // in Stemma's own folder
  std::string commit{};             // empty where `own`
  std::vector<std::string> refs{};  // branches and tags that stand for the commit
  std::filesystem::path path;
  uint64_t bytes = 0;
  std::string missing{};  // a file that is needed and not there; empty where complete
};

// Everything in both caches, by name; what does not follow the layout is passed over.
std::vector<CachedModel> cached_models();

struct Removed {
  std::vector<CachedModel> models;
  uint64_t bytes = 0;  // given back to the disk
};

// Removes a name's revisions (or the named one): snapshots, refs, and blobs that no other revision
// uses. Fails where another process is downloading the model.
Removed remove_model(const ModelName& name);

}  // namespace stemma
