// Command inspect prints digest and compressed size of the images in an OCI
// archive, one line each: the list of them first.
package main

import (
	"fmt"
	"os"

	"github.com/drydock-ecs/drydock/internal/ociarchive"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: inspect ARCHIVE")
		os.Exit(2)
	}
	archive, err := ociarchive.Read(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "inspect:", err)
		os.Exit(1)
	}
	fmt.Printf("%-12s %s  %s\n", "image", archive.Digest, os.Args[1])
	for _, i := range archive.Images {
		fmt.Printf("%-12s %s  %.2f MB compressed\n", i.Platform, i.Digest, float64(i.Size)/1e6)
	}
}
