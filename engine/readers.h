// The readers of single checkpoint files, one a format.  Each takes a file that begins with its format's
// magic, leaves the tensors where they lie, and throws std::runtime_error, naming the file, for whatever it
// cannot trust.
#pragma once

#include "engine/checkpoint.h"
#include "engine/mapped_file.h"

namespace deciban {

// PyTorch's zip format: dictionaries of tensors and parameters, plain or one level down ("state_dict",
// "model").
DECIBAN_API Checkpoint read_torch_file(const FileBytes& file);
DECIBAN_API Checkpoint read_safetensors(const FileBytes& file);
// rwkv.cpp's ggmf files, versions 100 and 101.
DECIBAN_API Checkpoint read_rwkvcpp_file(const FileBytes& file);
// GGUF, versions 2 and 3.
DECIBAN_API Checkpoint read_gguf_file(const FileBytes& file);

// Chooses the reader by the first bytes of the file.
DECIBAN_API Checkpoint read_checkpoint(const FileBytes& file);

// Row-major strides; throws std::runtime_error, naming file and tensor, if shape or encoding do not fit
// `bytes`.
StoredTensor tensor_in_file(const FileBytes& file, std::string name, Encoding encoding,
                            std::vector<std::size_t> shape, std::size_t begin, std::size_t end);
// The number of bytes such a tensor takes; throws likewise (quantised: the last dimension must hold whole
// blocks).
std::size_t tensor_bytes(const FileBytes& file, std::string_view name, Encoding encoding,
                         const std::vector<std::size_t>& shape);
// Throws if two tensors have one name.
void refuse_equal_names(const FileBytes& file, const std::vector<StoredTensor>& tensors);

}  // namespace deciban
