# SPDX-License-Identifier: MIT
# Makes this folder a package for cimport.
