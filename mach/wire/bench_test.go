package wire

import "testing"

func BenchmarkMessage(b *testing.B) {
	for _, l := range layouts {
		b.Run(l.String()+" put", func(b *testing.B) {
			b.ReportAllocs()
			m := New(l, 1)
			for b.Loop() {
				m.Reset(l, 1)
				for i := range int32(10) {
					m.PutInt32(i)
				}
			}
		})
		m := New(l, 1)
		for i := range int32(10) {
			m.PutInt32(i)
		}
		b.Run(l.String()+" take", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Rewind()
				for range 10 {
					m.TakeInt32()
				}
			}
		})
		b.Run(l.String()+" walk", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for it, err := range m.Items() {
					if err != nil || it.Number != 1 {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
